"""Whole tracks: decoded, cut, encoded in their own codec, written to a file, and heard again."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_clips import Numbered, Track, beeps, hear, make_numbered, tone

from coordinator.media.limits import MediaLimits
from coordinator.media.open import open_input
from coordinator.media.sound.encoders import SoundEncoding, choose_sound_encoding
from coordinator.media.sound.render import SoundTrack, render_sound, sound_encodings
from framewire.edits.edit_list import EditList, Span
from framewire.errors import MediaError

SECONDS = 6
EDITS = EditList(
    [
        Span(start=Fraction(1), end=Fraction(2)),
        Span(start=Fraction(3), end=Fraction(4), speed=Fraction(2)),
        Span(start=Fraction(9, 2), end=Fraction(11, 2), volume=Fraction(1, 2)),
    ]
)
BEEPS = [0.25, 1.25, 1.75, 2.5, 4.75, 5.25]
AFTERWARDS = [0.25, 0.75, 1.75, 2.25]
"""Those that are kept, where they are to be heard."""


def render(source: Path, target: Path, edits: EditList = EDITS) -> tuple[SoundEncoding, int]:
    """The first sound track of `source`, alone in `target`; how it was written, and how many samples."""
    ending = target.suffix[1:]
    index, encoding = next(iter(sound_encodings(source, {"mkv": "matroska"}.get(ending, ending)).items()))
    assert encoding is not None
    with av.open(str(target), "w") as output:
        track = SoundTrack(output, encoding, source, index, edits, origin=Fraction(0))
        return encoding, render_sound(track, output.mux_one)


TRACKS = [
    ("mp4", Track(codec="aac"), "aac"),
    ("mkv", Track(codec="aac", layout="5.1"), "aac"),
    ("mp4", Track(codec="libmp3lame", rate=44_100), "mp3"),
    ("mkv", Track(codec="libopus"), "opus"),
    ("mp4", Track(codec="libopus", layout="5.1"), "opus"),
    ("mkv", Track(codec="flac", layout="5.1"), "flac"),
    ("mp4", Track(codec="alac"), "alac"),
    ("mp4", Track(codec="ac3", layout="5.1(side)"), "ac3"),
    ("mp4", Track(codec="eac3"), "eac3"),
    ("mov", Track(codec="pcm_s16le", layout="mono", rate=44_100), "pcm_s16le"),
    ("mov", Track(codec="pcm_s24le", layout="5.1", rate=96_000), "pcm_s24le"),
    ("mkv", Track(codec="mp2"), "mp2"),
]


@pytest.mark.parametrize(("ending", "track", "codec"), TRACKS, ids=[f"{t.codec}-{t.layout}-{e}" for e, t, _ in TRACKS])
def test_a_track_stays_in_its_codec_rate_and_layout_and_every_beep_at_its_time(
    tmp_path: Path, ending: str, track: Track, codec: str
) -> None:
    made = Track(sound=beeps(BEEPS), codec=track.codec, layout=track.layout, rate=track.rate, seconds=SECONDS)
    source = make_numbered(tmp_path / f"in.{ending}", Numbered(frames=4, tracks=(made,)))
    _, samples = render(source, tmp_path / f"out.{ending}")
    before, after = hear(source), hear(tmp_path / f"out.{ending}")
    assert (after.codec, after.rate, after.layout) == (codec, before.rate, before.layout)
    assert samples == EDITS.seconds * track.rate
    assert 0 <= after.samples.shape[1] - samples <= 2048  # a block that an encoder fills up, never less
    assert after.onsets(level=0.2) == pytest.approx(AFTERWARDS, abs=0.001)


def test_lossless_sound_is_the_same_sample_for_sample(tmp_path: Path) -> None:
    track = Track(sound=tone(), codec="pcm_s24le", seconds=SECONDS)
    source = make_numbered(tmp_path / "in.mov", Numbered(frames=4, tracks=(track,)))
    render(source, tmp_path / "out.mov", EditList([Span(start=Fraction(1), end=Fraction(2))]))
    before, after = hear(source).samples, hear(tmp_path / "out.mov").samples
    assert np.array_equal(after[:, 1000:-1000], before[:, 49_000:95_000])


def test_the_bit_rate_is_no_lower_than_it_was(tmp_path: Path) -> None:
    for ending, codec, asked in (("mp4", "aac", 256_000), ("mkv", "libmp3lame", 320_000), ("mkv", "libopus", 192_000)):
        made = Track(sound=tone(), codec=codec, seconds=SECONDS, bit_rate=asked)
        source = make_numbered(tmp_path / f"in.{ending}", Numbered(frames=4, tracks=(made,)))
        encoding, _ = render(source, tmp_path / f"out.{ending}")
        with av.open(str(source)) as film:
            said = film.streams.audio[0].bit_rate or film.streams.audio[0].codec_context.bit_rate or 0
        assert encoding.bit_rate >= said
        assert encoding.bit_rate >= (0.9 * asked if codec != "aac" else said)  # a tone takes AAC less than it may have


def test_codecs_nobody_writes_become_ones_that_the_container_takes(tmp_path: Path) -> None:
    limits = MediaLimits()
    cases: Sequence[tuple[str, str, str, str]] = [
        ("mkv", "wavpack", "mp4", "flac"),  # MP4 takes no WavPack; what is lossless stays so
        ("avi", "adpcm_ms", "mp4", "aac"),
        ("mkv", "aac", "webm", "opus"),
    ]
    for ending, codec, container, wanted in cases:
        source = make_numbered(tmp_path / f"{codec}.{ending}", Numbered(frames=4, tracks=(Track(codec=codec),)))
        with open_input(source, limits) as film:
            encoding = choose_sound_encoding(film.streams.audio[0], container)
        assert encoding is not None
        assert encoding.codec == wanted
        assert any(wanted in line for line in encoding.remarks)


def test_a_track_of_which_nothing_is_kept_can_be_written_all_the_same(tmp_path: Path) -> None:
    source = make_numbered(tmp_path / "in.mp4", Numbered(frames=4, tracks=(Track(codec="ac3", seconds=1),)))
    _, samples = render(source, tmp_path / "out.mp4", EditList([Span(start=Fraction(3), end=Fraction(4))]))
    assert samples == 480
    assert not np.abs(hear(tmp_path / "out.mp4").samples).max() > 0.001


def test_sound_may_take_longer_than_a_picture_may(tmp_path: Path) -> None:
    # what bounds the time between two pictures must not bound sound, which has none
    source = make_numbered(tmp_path / "in.mp4", Numbered(frames=4, tracks=(Track(seconds=SECONDS),)))
    encoding = sound_encodings(source, "mp4")[1]
    assert encoding is not None
    with av.open(str(tmp_path / "out.mp4"), "w") as output:
        limits = MediaLimits(picture_seconds=0)
        track = SoundTrack(output, encoding, source, 1, EDITS, origin=Fraction(0), limits=limits)
        assert render_sound(track, output.mux_one) == EDITS.seconds * 48_000


def test_a_layout_nobody_names_is_written_all_the_same(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000, layout="7.1.4")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 12 * 800), np.int16), format="s16", layout="7.1.4")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
    encoding, samples = render(
        tmp_path / "in.mkv", tmp_path / "out.mkv", EditList([Span(start=Fraction(0), end=Fraction(1))])
    )
    assert samples == 800
    assert encoding.channels in (12, 2)


def test_what_stops_the_work_passes_through(tmp_path: Path) -> None:
    source = make_numbered(tmp_path / "in.mp4", Numbered(frames=4, tracks=(Track(seconds=SECONDS),)))

    def stop() -> None:
        raise MediaError("enough")

    encoding = sound_encodings(source, "mp4")[1]
    assert encoding is not None
    with av.open(str(tmp_path / "out.mp4"), "w") as output:
        track = SoundTrack(output, encoding, source, 1, EDITS, origin=Fraction(0))
        with pytest.raises(MediaError, match="enough"):
            list(track.packets(stop))
        for packet in track.stream.encode(None):
            output.mux_one(packet)
