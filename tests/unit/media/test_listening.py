"""How loud a film is, who speaks in it, what moves in it, and where its pictures begin."""

from __future__ import annotations

import tracemalloc
import wave
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talking_clips import Talk, make_talk

from coordinator.media.levels import LevelMeter, Samples
from coordinator.media.limits import MediaLimits
from coordinator.media.listen import listen
from coordinator.media.motion import picture_changes
from coordinator.media.probe import inspect
from coordinator.speech import SpeechMeter
from coordinator.speech.network import CHUNK, CONTEXT, RATE, network
from framewire.edits.grid import Grid
from framewire.errors import ErrorCode, MediaError

LIMITS = MediaLimits()
SPEECH = Path(__file__).parents[4] / "shared" / "media" / "speech_60s.wav"


def nobody() -> None:
    pass


def heard(path: Path, hop: Fraction = Fraction(1, 25)) -> tuple[Grid, LevelMeter]:
    meters: list[LevelMeter] = []

    def make(rate: int) -> LevelMeter:
        meters.append(LevelMeter(rate, hop, peaks=True))
        return meters[-1]

    grid = listen(path, inspect(path).video, {0: make}, limits=LIMITS, check=nobody)
    return grid, meters[0]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([48_000, 44_100, 8_000]),
    st.sampled_from([Fraction(1, 25), Fraction(1001, 30_000), Fraction(1, 7)]),
    st.lists(st.integers(1, 5_000), min_size=1, max_size=8),
    st.integers(-3_000, 3_000),
)
def test_levels_are_the_same_however_samples_come_in_blocks(
    rate: int, hop: Fraction, lengths: Sequence[int], start: int
) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, (2, sum(lengths))).astype(np.float32)
    samples[1] = samples[0] * 0.5
    meter, position = LevelMeter(rate, hop, peaks=True), start
    for block in np.split(samples, np.cumsum(lengths)[:-1], axis=1):
        meter.take(position, block)
        position += block.shape[1]
    places = np.arange(start, position)
    length = hop * rate
    hops = [place * length.denominator // length.numerator for place in places.tolist() if place >= 0]
    for number in set(hops):
        inside = samples[0, len(places) - len(hops) :][np.array(hops) == number]
        assert meter.rms()[number] == pytest.approx(np.sqrt((inside**2).sum() / float(length)), rel=1e-3)
        assert meter.peak()[number] == pytest.approx(np.abs(inside).max(), rel=1e-5)
    assert len(meter.rms()) == (max(hops) + 1 if hops else 0)


def test_a_tone_has_its_level_where_it_is_and_none_elsewhere(tmp_path: Path) -> None:
    film = make_talk(tmp_path / "talk.mov", Talk(seconds=3, words=((1, 2),), level=0.5, codec="pcm_s16le"))
    rms = heard(film)[1].rms()
    assert rms[26:49] == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    assert not rms[:25].any()
    assert not rms[50:].any()


@pytest.mark.parametrize(("codec", "ending"), [("aac", "mp4"), ("flac", "mkv"), ("pcm_u8", "avi"), ("libopus", "mkv")])
def test_every_kind_of_sample_is_measured_alike(tmp_path: Path, codec: str, ending: str) -> None:
    film = make_talk(tmp_path / f"talk.{ending}", Talk(seconds=2, words=((0.5, 1.5),), level=0.5, codec=codec))
    rms = heard(film)[1].rms()
    assert rms[16:34] == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    assert rms[:10].max() < 0.01


def test_cuts_can_fall_where_pictures_begin_also_at_a_variable_rate(tmp_path: Path) -> None:
    times = [0, 40, 80, 300, 340, 900]
    film = make_talk(tmp_path / "talk.mkv", Talk(seconds=1, times=times, words=((0, 1),)))
    grid = heard(film)[0]
    assert [float(grid.nearest(Fraction(ms, 1000))) for ms in times] == pytest.approx([ms / 1000 for ms in times])
    assert grid.nearest(Fraction(150, 1000)) == Fraction(80, 1000)
    assert grid.end > Fraction(900, 1000)


def sent_ahead(source: Path, target: Path, kind: str, seconds: float) -> Path:
    """The film with the last packet of one kind so much later. A broadcast that was recorded can look like this."""
    with av.open(str(source)) as film, av.open(str(target), "w", options={"live": "1"}) as result:
        tracks = {track.index: result.add_stream_from_template(track) for track in film.streams}
        packets = [packet for packet in film.demux() if packet.dts is not None]
        last = next(packet for packet in reversed(packets) if packet.stream.type == kind)
        last.pts = last.dts = (last.pts or 0) + round(seconds / last.time_base)
        for packet in (*(each for each in packets if each is not last), last):
            packet.stream = tracks[packet.stream.index]
            result.mux(packet)
    return target


@pytest.mark.parametrize("seconds", [80_000.0, 1e9])
def test_one_packet_of_sound_far_behind_takes_little_memory_and_changes_nothing(tmp_path: Path, seconds: float) -> None:
    film = make_talk(tmp_path / "talk.mp4", Talk(seconds=3, words=((1, 2),)))
    near, far = (sent_ahead(film, tmp_path / f"{late:g}.mkv", "audio", late) for late in (0, seconds))
    speakers: list[SpeechMeter] = []

    def make(rate: int) -> SpeechMeter:
        speakers.append(SpeechMeter(rate))
        return speakers[-1]

    assert heard(far)[1].rms()[:70] == pytest.approx(heard(near)[1].rms()[:70])
    tracemalloc.start()
    listen(far, inspect(far).video, {0: make}, limits=LIMITS, check=nobody)
    answers = speakers[0].by_hop(Fraction(1, 25))
    assert tracemalloc.get_traced_memory()[1] < 200_000_000
    tracemalloc.stop()
    assert len(answers) == pytest.approx((seconds + 3) * 25 if seconds < LIMITS.max_duration else 75, abs=3)


def test_pictures_that_last_longer_than_any_film_may_are_refused(tmp_path: Path) -> None:
    film = make_talk(tmp_path / "talk.mp4", Talk(seconds=2, words=((0, 1),)))
    with pytest.raises(MediaError, match="hours") as caught:
        heard(sent_ahead(film, tmp_path / "far.mkv", "video", 1e9))
    assert caught.value.code == ErrorCode.MEDIA_TOO_LARGE


def test_listening_can_be_ended(tmp_path: Path) -> None:
    film = make_talk(tmp_path / "talk.mp4", Talk(seconds=1, words=((0, 1),)))
    calls = []

    def enough() -> None:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        listen(film, inspect(film).video, {}, limits=LIMITS, check=enough)
    assert len(calls) == 5


def test_what_moves_is_seen_and_what_stands_still_is_not(tmp_path: Path) -> None:
    # the film of a talk has a bright line that wanders; with one picture shown twice nothing changes
    film = make_talk(tmp_path / "talk.mp4", Talk(seconds=2, sound=0))
    changes = picture_changes(film, Fraction(1, 25), limits=LIMITS, check=nobody)
    assert len(changes) == 50
    assert changes[1:].min() > 0.002
    assert not changes[0]


def spoken(samples: Samples, rate: int = RATE, block: int = 10_000) -> np.ndarray:
    meter = SpeechMeter(rate)
    for start in range(0, samples.shape[1], block):
        meter.take(start, samples[:, start : start + block])
    return meter.by_hop(Fraction(CHUNK, RATE))


def test_stretches_side_by_side_answer_as_one_after_the_other() -> None:
    # bursts of harmonics: nothing real, but the network's memory has work to do
    times = np.arange(RATE * 40) / RATE
    voice = sum(np.sin(2 * np.pi * 140 * n * times) / n for n in range(1, 12)) * (np.sin(2 * np.pi * 0.7 * times) > 0)
    sound = (voice * 0.1 + np.random.default_rng(2).normal(0, 0.003, len(times))).astype(np.float32)
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), sound])
    whole = network().recur(network().encode(padded)[:, None])[:, 0]
    stretches = spoken(sound[None])
    assert len(stretches) == len(whole)
    assert np.mean((stretches >= 0.5) != (whole >= 0.5)) <= 0.02


@pytest.mark.parametrize("make", [lambda n: np.zeros(n), lambda n: np.random.default_rng(5).normal(0, 0.1, n)])
def test_silence_and_noise_are_no_speech(make: Callable[[int], np.ndarray]) -> None:
    assert spoken(make(RATE * 5).astype(np.float32)[None]).max() < 0.5


@pytest.mark.parametrize("pause", [30, 30.01])
def test_behind_a_long_pause_everything_is_where_it_was(pause: float) -> None:
    # half of the gap's samples do not fill a chunk: what follows is calculated from another place
    times = np.arange(RATE * 6) / RATE
    voice = sum(np.sin(2 * np.pi * 140 * n * times) / n for n in range(1, 12)) * (np.sin(2 * np.pi * 2 * times) > 0)
    sound, gap = (voice * 0.1).astype(np.float32)[None], np.zeros((1, round(RATE * pause)), np.float32)
    told = spoken(np.concatenate([sound, gap, sound], axis=1))
    meter = SpeechMeter(RATE)
    meter.take(0, sound)
    meter.take(sound.shape[1] + gap.shape[1], sound)
    found = meter.by_hop(Fraction(CHUNK, RATE))
    assert len(found) == len(told)
    assert np.mean((found >= 0.5) != (told >= 0.5)) <= 0.005


@pytest.mark.skipif(not SPEECH.exists(), reason="the clip of speech lies beside a checkout, not in it")
@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_speech_is_found_at_any_sample_rate(rate: int) -> None:
    with wave.open(str(SPEECH)) as file:
        sound = np.frombuffer(file.readframes(RATE * 20), np.int16).astype(np.float32) / 32768
    at_16k = spoken(sound[None]) >= 0.5
    assert 0.5 < at_16k.mean() < 0.95
    resampled = np.repeat(sound, rate // RATE)
    both = np.stack([resampled, resampled])
    assert np.mean((spoken(both, rate)[: len(at_16k)] >= 0.5) != at_16k) < 0.03
