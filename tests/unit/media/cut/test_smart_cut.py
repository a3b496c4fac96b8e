"""What a cut film shows and sounds like, seen by a second decoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, Sound, make_clip
from cut_films import FILM, assert_cut, closed_gops, decode, edits_of, hevc, lengths, sound_offsets
from numpy.typing import NDArray
from rich_clips import Extras, Text, make_rich_clip, tracks

from coordinator.media import codecs
from coordinator.media.cut.avc import AvcConfiguration
from coordinator.media.cut.nal import with_lengths
from coordinator.media.cut.obstacles import CannotCopy, Obstacle
from coordinator.media.cut.smart_cut import smart_cut
from framewire.edits.edit_list import EditList, Span

Options = tuple[tuple[str, str], ...]
NTSC = Fraction(30_000, 1001)
FRAME = Fraction(1, 25)


def test_only_what_lies_between_a_cut_and_a_key_frame_is_encoded_again(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", FILM)
    ranges = [(3, 27), (44, 60)]  # 3-9 | whole groups 10-19, and 20-26 | 44-49 | the group 50-59
    cut = smart_cut(source, tmp_path / "out.mp4", edits_of(decode(source), ranges))
    assert (cut.frames_in, cut.frames, cut.joins) == (60, 40, 1)
    assert cut.encoded <= 7 + 2 + 6  # a group's beginning stands without its end; two B-frames may hang over
    assert_cut(source, tmp_path / "out.mp4", ranges, copied=cut.copied)


def test_copied_packets_are_the_films_own_bytes(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", FILM)
    cut = smart_cut(source, tmp_path / "out.mp4", edits_of(decode(source), [(5, 35), (40, 60)]))
    with av.open(str(source)) as film, av.open(str(tmp_path / "out.mp4")) as result:
        own = {hashlib.sha256(packet).digest() for packet in film.demux(video=0) if packet.size}
        made = [hashlib.sha256(packet).digest() for packet in result.demux(video=0) if packet.size]
    assert sum(digest in own for digest in made) == cut.copied >= 40


@pytest.mark.parametrize(
    ("name", "clip", "ranges"),
    [
        ("no reordering", Clip(frames=50, options=closed_gops(bframes=0)), [(0, 13), (17, 50)]),
        ("deep B-frames", Clip(frames=60, options=closed_gops(20, 6, b_pyramid="normal")), [(7, 33), (38, 55)]),
        ("baseline", Clip(frames=50, options=(*closed_gops(bframes=0), ("profile", "baseline"))), [(4, 21), (30, 44)]),
        ("main", Clip(frames=50, options=(*closed_gops(), ("profile", "main"))), [(4, 21), (30, 44)]),
        ("29.97 a second", Clip(frames=60, rate=NTSC, options=closed_gops()), [(1, 14), (15, 47), (52, 60)]),
        ("no sound", Clip(frames=40, sounds=(), options=closed_gops()), [(2, 17), (23, 40)]),
        ("5.1", Clip(frames=40, sounds=(Sound(layout="5.1"),), options=closed_gops()), [(2, 17), (23, 40)]),
        ("10 bits", Clip(frames=40, pixel_format="yuv420p10le", options=closed_gops()), [(2, 17), (23, 40)]),
        ("4:2:2", Clip(frames=40, pixel_format="yuv422p", options=closed_gops()), [(2, 17), (23, 40)]),
        ("key frames alone", Clip(frames=40, options=closed_gops(1, 0)), [(2, 17), (23, 40)]),
        ("HEVC", Clip(width=96, height=64, frames=40, codec="libx265", options=hevc()), [(3, 17), (22, 40)]),
        (
            "HEVC, 10 bits",
            Clip(width=96, height=64, frames=40, codec="libx265", pixel_format="yuv420p10le", options=hevc()),
            [(3, 17), (22, 40)],
        ),
        (
            "HEVC, pictures before their key frame",
            Clip(width=98, height=66, frames=40, codec="libx265", options=hevc(radl="2")),
            [(3, 17), (22, 40)],
        ),
        ("one long group", Clip(frames=50, options=closed_gops(250)), [(10, 20), (30, 45)]),
        ("cuts on key frames", FILM, [(10, 20), (30, 40)]),
        ("many cuts in a group", FILM, [(1, 3), (4, 6), (7, 9), (21, 22), (25, 26)]),
        ("nothing cut", FILM, [(0, 60)]),
    ],
)  # fmt: skip
def test_every_kept_picture_is_there_once_and_in_time(
    tmp_path: Path, name: str, clip: Clip, ranges: list[tuple[int, int]]
) -> None:
    source = make_clip(tmp_path / "in.mp4", clip)
    edits = edits_of(decode(source), ranges, 1 / clip.rate)
    cut = smart_cut(source, tmp_path / "out.mp4", edits)
    assert_cut(source, tmp_path / "out.mp4", ranges, copied=cut.copied, last=1 / clip.rate)
    assert (cut.encoded == 0) == (name in ("cuts on key frames", "nothing cut", "key frames alone"))


def test_a_variable_frame_rate_stays_as_it_is(tmp_path: Path) -> None:
    # 50 frames of 20 to 100 ms each
    pts = [0]
    for number in range(49):
        pts.append(pts[-1] + (20, 40, 100, 33)[number % 4])
    clip = Clip(frames=50, time_base=Fraction(1, 1000), pts=pts, options=closed_gops())
    source = make_clip(tmp_path / "in.mp4", clip)
    film, ranges = decode(source), [(4, 23), (31, 50)]
    last = Fraction(40, 1000)
    cut = smart_cut(source, tmp_path / "out.mp4", edits_of(film, ranges, last))
    assert_cut(source, tmp_path / "out.mp4", ranges, copied=cut.copied, last=last)
    assert len(set(lengths(film, last))) > 3


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_film_whose_first_picture_is_late_begins_at_zero(tmp_path: Path, suffix: str) -> None:
    # 40 frames that begin 1.4 s into the file
    late = Clip(frames=40, time_base=Fraction(1, 1000), pts=[1400 + 40 * n for n in range(40)], options=closed_gops())
    source = make_clip(tmp_path / f"in{suffix}", late)
    ranges, target = [(0, 12), (18, 40)], tmp_path / f"out{suffix}"
    cut = smart_cut(source, target, edits_of(decode(source), ranges), container=suffix[1:])
    assert_cut(source, target, ranges, copied=cut.copied)


def test_no_stream_changes_what_a_decoder_is_set_up_for(tmp_path: Path) -> None:
    clip = Clip(
        width=96, frames=40, options=(*closed_gops(), ("profile", "main"), ("level", "3.1")),
        sample_aspect_ratio=Fraction(4, 3), colorspace=1, color_range=1,
    )  # fmt: skip
    source, target = make_clip(tmp_path / "in.mp4", clip), tmp_path / "out.mp4"
    smart_cut(source, target, edits_of(decode(source), [(3, 17), (22, 38)]))
    described = []
    for path in (source, target):
        with av.open(str(path)) as film:
            looks = {
                (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
                for frame in film.decode(film.streams.video[0])
            }
            context = film.streams.video[0].codec_context
            described.append((looks, context.profile, context.level, film.streams.video[0].sample_aspect_ratio))
    assert described[0] == described[1]
    assert len(described[1][0]) == 1


def test_decoding_times_grow_and_come_before_showing(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mp4", FILM), tmp_path / "out.mp4"
    smart_cut(source, target, edits_of(decode(source), [(3, 27), (31, 36), (44, 60)]))
    with av.open(str(target)) as film:
        times = [(packet.dts, packet.pts) for packet in film.demux(video=0) if packet.size]
    assert all(one < other for (one, _), (other, _) in pairwise(times))
    assert all(dts <= pts for dts, pts in times)


@pytest.mark.parametrize("sounds", [(Sound(),), (Sound(), Sound(layout="mono", rate=44_100, language="deu"))])
def test_sound_is_never_further_off_than_half_a_picture_and_does_not_drift(
    tmp_path: Path, sounds: tuple[Sound, ...]
) -> None:
    # 12 s: a join every third of a second
    source = make_clip(tmp_path / "in.mp4", Clip(frames=300, sounds=sounds, options=closed_gops(bframes=1)))
    film, ranges = decode(source), [(start, start + 7) for start in range(1, 290, 9)]
    edits, target = edits_of(film, ranges), tmp_path / "out.mp4"
    cut = smart_cut(source, target, edits)
    assert cut.joins == len(ranges) - 1
    for track in range(len(sounds)):
        offsets = sound_offsets(source, target, edits, track=track)
        assert len(offsets) > 200
        assert max(map(abs, offsets)) <= FRAME / 2
    assert cut.furthest <= FRAME / 2
    with av.open(str(target)) as result:
        for track in result.streams.audio:
            stamps = [packet.pts for packet in result.demux(track) if packet.size]
            result.seek(0)
            assert {other - one for one, other in pairwise(stamps)} == {1024}


def test_sound_begins_with_the_picture_and_the_packet_before_it_is_not_heard(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mp4", FILM), tmp_path / "out.mp4"
    smart_cut(source, target, edits_of(decode(source), [(13, 60)]))
    first, before = _samples(source)
    begins, after = _samples(target)
    assert begins == 0
    wanted = round(13 * FRAME * 48_000) - first
    # AAC's own noise differs from run to run, so the place is told by likeness
    likeness = [
        float((after[0, :8000] * before[0, place : place + 8000]).sum()) for place in range(wanted - 300, wanted + 300)
    ]
    assert likeness.index(max(likeness)) == 300
    opening = np.corrcoef(after[0, :600], before[0, wanted : wanted + 600])[0, 1]
    assert opening > 0.6  # decoded as if nothing were cut before it


def _samples(path: Path) -> tuple[int, NDArray[np.float32]]:
    """When the first sample is heard, in samples, and all of them."""
    with av.open(str(path)) as film:
        frames = list(film.decode(audio=0))
        start = frames[0].pts * frames[0].time_base * frames[0].sample_rate
        return round(start), np.concatenate([frame.to_ndarray() for frame in frames], axis=1)


def test_packets_too_long_for_the_pictures_are_rendered(tmp_path: Path) -> None:
    # AAC at 16 kHz has packets of 64 ms, a picture of this film has 40 ms
    source = make_clip(tmp_path / "in.mp4", Clip(frames=50, sounds=(Sound(rate=16_000),), options=closed_gops()))
    target = tmp_path / "out.mp4"
    cut = smart_cut(source, target, edits_of(decode(source), [(3, 20), (30, 50)]))
    assert (cut.sound_packets, cut.furthest) == (0, 0)
    with av.open(str(target)) as result:
        heard = sum(frame.samples for frame in result.decode(audio=0)) / result.streams.audio[0].rate
    assert abs(heard - 37 / 25) < 0.07  # to the packet at the end


def test_another_volume_leaves_the_pictures_alone(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mp4", FILM), tmp_path / "out.mp4"
    second = Fraction(1)
    quiet = Span(start=second, end=2 * second, volume=Fraction(1, 10))
    edits = EditList([Span(start=Fraction(0), end=second), quiet, Span(start=2 * second, end=Fraction(12, 5))])
    cut = smart_cut(source, target, edits)
    assert (cut.copied, cut.encoded, cut.joins, cut.sound_packets) == (60, 0, 0, 0)
    with av.open(str(target)) as result:
        parts: dict[bool, list[float]] = {True: [], False: []}
        for frame in result.decode(audio=0):
            moment = frame.pts * frame.time_base
            if Fraction(1, 10) < moment % 1 < Fraction(9, 10):
                parts[1 <= moment < 2].append(float((frame.to_ndarray() ** 2).mean()))
    assert sum(parts[True]) / len(parts[True]) < sum(parts[False]) / len(parts[False]) / 50


def test_sound_that_outlasts_the_picture_is_kept_when_it_is_asked_for(tmp_path: Path) -> None:
    source = _longer_sound(tmp_path)
    edits = EditList([Span(start=Fraction(1, 5), end=Fraction(3, 5)), Span(start=Fraction(4, 5), end=Fraction(2))])
    cut = smart_cut(source, tmp_path / "out.mp4", edits)
    assert_cut(source, tmp_path / "out.mp4", [(5, 15), (20, 25)], copied=cut.copied)
    with av.open(str(tmp_path / "out.mp4")) as result:
        heard = [frame.pts * frame.time_base for frame in result.decode(audio=0)]
    assert abs(heard[-1] - Fraction(8, 5)) < Fraction(1, 20)


def _longer_sound(folder: Path) -> Path:
    """One second of pictures, two of sound."""
    long = make_clip(folder / "long.mp4", Clip(frames=50, options=closed_gops()))
    short = make_clip(folder / "short.mp4", Clip(frames=25, sounds=(), options=closed_gops()))
    path = folder / "in.mp4"
    with av.open(str(long)) as one, av.open(str(short)) as other, av.open(str(path), "w") as output:
        streams = [
            output.add_stream_from_template(s, opaque=True) for s in (other.streams.video[0], one.streams.audio[0])
        ]
        for film, kind, stream in ((other, "video", streams[0]), (one, "audio", streams[1])):
            for packet in film.demux(**{kind: 0}):
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
    return path


def test_texts_chapters_and_tags_move_with_the_film(tmp_path: Path) -> None:
    lines = ((0, 300, b"first"), (800, 1000, b"second"), (2000, 200, b"third"))
    clip = Clip(frames=60, options=closed_gops(), chapters=3, metadata=(("title", "A film"),), rotation=90)
    source = make_rich_clip(tmp_path / "in.mkv", Extras(texts=(Text(lines=lines),), cover=True), clip)
    target = tmp_path / "out.mkv"
    smart_cut(source, target, edits_of(decode(source), [(10, 30), (40, 50)]), container="mkv")  # 0.4-1.2, 1.6-2.0
    with av.open(str(target)) as film:
        assert film.metadata["title"] == "A film"
        chapters = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in film.chapters()]
        subtitles = film.streams.subtitles[0].index
        assert film.streams.subtitles[0].metadata["language"] in ("deu", "ger")
        assert "attachment" in {stream.type for stream in film.streams} or len(film.streams.video) == 2
    assert [round(float(moment), 3) for chapter in chapters for moment in chapter] == [0, 0.4, 0.4, 0.8, 0.8, 1.2]
    moved = [(float(start), float(length), data) for start, length, data in tracks(target)[subtitles]]
    assert moved == [(0.4, pytest.approx(0.6, abs=0.002), b"second")]


def test_edges_between_two_pictures_fall_on_the_nearest_boundary(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", FILM)
    rough = EditList(
        [Span(start=Fraction("0.1299"), end=Fraction("1.0666666")), Span(start=Fraction("1.7"), end=Fraction(9))]
    )
    cut = smart_cut(source, tmp_path / "out.mp4", rough)
    assert_cut(source, tmp_path / "out.mp4", [(3, 27), (42, 60)], copied=cut.copied)


def test_nothing_kept_is_told_and_leaves_no_file(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=20, options=closed_gops(), sounds=()))
    with pytest.raises(ValueError, match="no picture"):
        smart_cut(source, tmp_path / "out.mp4", EditList([Span(start=Fraction("0.39"), end=Fraction("0.4"))]))
    assert not (tmp_path / "out.mp4").exists()


def test_somebody_who_stops_it_gets_no_file(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", FILM)
    calls = 0

    def stop_in_the_middle() -> None:
        nonlocal calls
        calls += 1
        if calls > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        smart_cut(source, tmp_path / "out.mp4", edits_of(decode(source), [(3, 50)]), check=stop_in_the_middle)
    assert not (tmp_path / "out.mp4").exists()


def test_the_same_cut_gives_the_same_file(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", FILM)
    edits = edits_of(decode(source), [(3, 27), (33, 49)])
    for name in ("one.mp4", "two.mp4"):
        smart_cut(source, tmp_path / name, edits)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "clip", "obstacle"),
    [
("cra.mp4", Clip(width=96, height=64, frames=40, codec="libx265", options=hevc(open_gop="1")), Obstacle.OPEN_GOPS),
        ("mpeg4.avi", Clip(frames=20, codec="mpeg4", options=(), sounds=(Sound(codec="mp3"),)), Obstacle.CODEC),
        ("h264.avi", Clip(frames=20, options=closed_gops(bframes=0), sounds=()), Obstacle.FORM),
        ("open.mp4", Clip(frames=40, options=closed_gops(open_gop="1")), Obstacle.OPEN_GOPS),
        ("fields.mp4", Clip(frames=20, options=closed_gops(interlaced="1")), Obstacle.FIELDS),
        ("444.mp4", Clip(frames=20, pixel_format="yuv444p", options=closed_gops()), Obstacle.NO_ENCODER),
    ],
)  # fmt: skip
def test_what_cannot_be_copied_has_a_reason(tmp_path: Path, name: str, clip: Clip, obstacle: Obstacle) -> None:
    source = make_clip(tmp_path / name, clip)
    edits = EditList([Span(start=Fraction("0.2"), end=Fraction("0.6"))])
    with pytest.raises(CannotCopy) as caught:
        smart_cut(source, tmp_path / "out.mp4", edits)
    assert caught.value.obstacle is obstacle
    assert not (tmp_path / "out.mp4").exists()


def test_pictures_too_small_for_the_encoder_are_not_cut_by_copying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # nothing here can make a film that is narrower than x265 takes, so it is said to take no less than more
    monkeypatch.setitem(codecs._LEAST_SIZE, "libx265", (98, 16))
    source = make_clip(tmp_path / "in.mp4", Clip(width=96, height=64, frames=40, codec="libx265", options=hevc()))
    with pytest.raises(CannotCopy) as caught:
        smart_cut(source, tmp_path / "out.mp4", EditList([Span(start=Fraction("0.2"), end=Fraction("0.6"))]))
    assert caught.value.obstacle is Obstacle.NO_ENCODER


def test_a_part_played_faster_is_for_the_pipeline(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", FILM)
    with pytest.raises(CannotCopy) as caught:
        smart_cut(source, tmp_path / "out.mp4", EditList([Span(start=Fraction(0), end=Fraction(1), speed=Fraction(2))]))
    assert caught.value.obstacle is Obstacle.SPEED


def test_sets_repeated_in_packets_are_no_obstacle_while_they_are_the_same(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=40, options=closed_gops(repeat_headers="1")))
    ranges = [(3, 17), (22, 38)]
    cut = smart_cut(source, tmp_path / "out.mp4", edits_of(decode(source), ranges))
    assert cut.copied > 10
    assert_cut(source, tmp_path / "out.mp4", ranges, copied=cut.copied)


def _changed(source: Path, target: Path, change: Callable[[int, bytes], bytes]) -> Path:
    """The film's pictures with other packets, by number; a packet of which nothing is left goes."""
    with av.open(str(source)) as film, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(film.streams.video[0], opaque=True)
        for number, packet in enumerate(film.demux(video=0)):
            if packet.size and (data := change(number, bytes(packet))):
                other = av.Packet(data)
                other.pts, other.dts, other.duration = packet.pts, packet.dts, packet.duration
                other.time_base, other.is_keyframe, other.stream = packet.time_base, packet.is_keyframe, stream
                output.mux(other)
    return target


def test_a_description_that_changes_on_the_way_is_an_obstacle(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "whole.mp4", Clip(frames=40, sounds=(), options=closed_gops()))
    with av.open(str(source)) as film:
        [sequence, *_] = AvcConfiguration.parse(film.streams.video[0].codec_context.extradata or b"").sequences
    other = with_lengths([sequence[:3] + bytes([sequence[3] + 1]) + sequence[4:]], 4)  # another level
    changed = _changed(source, tmp_path / "in.mp4", lambda number, data: other + data if number == 20 else data)
    with pytest.raises(CannotCopy) as caught:
        smart_cut(changed, tmp_path / "out.mp4", edits_of(decode(source), [(3, 33)]))
    assert caught.value.obstacle is Obstacle.PARAMETERS


@pytest.mark.parametrize(
    ("codec", "options", "layer"),
    [
        ("libx264", closed_gops(), b"\x74\x40\0\0"),
        ("libx265", hevc(), b"\x7c\x01\x19"),
        ("libx265", hevc(), b"\x02\x09\xd0"),
    ],
    ids=["a second view", "Dolby Vision", "HEVC's second view"],
)
def test_a_film_with_layers_is_encoded_again(tmp_path: Path, codec: str, options: Options, layer: bytes) -> None:
    clip = Clip(width=96, height=64, frames=30, codec=codec, sounds=(), options=options)
    source = make_clip(tmp_path / "whole.mp4", clip)
    layered = _changed(source, tmp_path / "in.mp4", lambda _, data: data + with_lengths([layer], 4))
    with pytest.raises(CannotCopy) as caught:
        smart_cut(layered, tmp_path / "out.mp4", edits_of(decode(source), [(12, 25)]))
    assert caught.value.obstacle is Obstacle.LAYERS


def test_a_film_that_does_not_begin_with_a_key_frame_is_encoded_again(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "whole.mp4", Clip(frames=40, sounds=(), options=closed_gops()))
    headless = _changed(source, tmp_path / "in.mp4", lambda number, data: b"" if number == 0 else data)
    with pytest.raises(CannotCopy) as caught:
        smart_cut(headless, tmp_path / "out.mp4", edits_of(decode(source), [(12, 33)]))
    assert caught.value.obstacle is Obstacle.NO_KEY_FRAMES


def test_pictures_hidden_by_the_films_own_edit_list_stay_hidden(tmp_path: Path) -> None:
    # the first 13 of 60 pictures lie before 0
    whole = make_clip(tmp_path / "whole.mp4", FILM)
    source = tmp_path / "in.mp4"
    options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    with av.open(str(whole)) as film, av.open(str(source), "w", container_options=options) as output:
        streams = {stream.index: output.add_stream_from_template(stream, opaque=True) for stream in film.streams}
        for packet in film.demux():
            if packet.size:
                shift = round(13 * FRAME / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
    seen = decode(source)
    assert len(seen.pictures) == 47
    ranges = [(0, 10), (20, 40)]
    cut = smart_cut(source, tmp_path / "out.mp4", edits_of(seen, ranges))
    assert cut.frames_in == 47
    assert_cut(source, tmp_path / "out.mp4", ranges, copied=cut.copied)
