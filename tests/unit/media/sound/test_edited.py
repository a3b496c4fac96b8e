"""An edit list applied to samples: counts, places, joins, speed, and how much memory it takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from coordinator.media.sound.edited import edited, samples_of
from coordinator.media.sound.source import Block, SoundFormat
from coordinator.media.sound.window import Window
from framewire.edits.edit_list import EditList, Span

RATE = 48_000
FORM = SoundFormat(rate=RATE, layout="stereo", channels=2)
MILLISECOND = RATE // 1000


def span(start: str, end: str, speed: str = "1", volume: str = "1") -> Span:
    return Span(start=Fraction(start), end=Fraction(end), speed=Fraction(speed), volume=Fraction(volume))


def blocks(wave: NDArray[np.float32], size: int = 1024) -> Iterator[Block]:
    for start in range(0, len(wave), size):
        yield Block(start, np.repeat(wave[None, start : start + size], 2, axis=0))


def render(wave: NDArray[np.float32], *spans: Span, fade: str = "0.005") -> NDArray[np.float32]:
    pieces = list(edited(Window(blocks(wave), FORM), EditList(spans), fade=Fraction(fade)))
    assert all(piece.dtype == np.float32 for piece in pieces)
    both: NDArray[np.float32] = np.concatenate(pieces, axis=1, dtype=np.float32)
    assert np.array_equal(both[0], both[1])
    wave_made: NDArray[np.float32] = both[0]
    return wave_made


def noise(seconds: float) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def sine(seconds: float, hertz: float = 440.0) -> NDArray[np.float32]:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def test_what_is_kept_is_the_same_sample_for_sample_outside_the_fades() -> None:
    wave = noise(4)
    result = render(wave, span("0", "1"), span("2", "3.5"))
    assert len(result) == 5 * RATE // 2
    fade = 5 * MILLISECOND
    assert np.array_equal(result[: RATE - fade], wave[: RATE - fade])
    assert np.array_equal(result[RATE + fade : -fade], wave[2 * RATE + fade : 7 * RATE // 2 - fade])


def test_a_list_that_keeps_everything_changes_nothing() -> None:
    wave = noise(2)
    assert np.array_equal(render(wave, span("0", "10")), wave)


def test_hard_cuts_fall_between_two_samples() -> None:
    wave = noise(2)
    result = render(wave, span("0.25", "0.5"), span("1", "1.25"), fade="0")
    quarter = RATE // 4
    assert np.array_equal(result, np.concatenate([wave[quarter : 2 * quarter], wave[RATE : RATE + quarter]]))


@pytest.mark.parametrize("hertz", [50.0, 440.0, 3000.0])
def test_no_join_makes_a_larger_step_than_the_sound_itself(hertz: float) -> None:
    # cut at the highest point of a wave, on at the lowest of another, then to another speed and another volume
    wave = sine(8, hertz)
    high, low = 1 / Fraction(4 * hertz), 3 / Fraction(4 * hertz)
    spans = [
        Span(start=Fraction(0), end=1 + high),
        Span(start=2 + low, end=Fraction(3)),
        span("3", "4", "2"),
        span("5.0011", "6", volume="0.5"),
    ]
    hard, faded = (np.abs(np.diff(render(wave, *spans, fade=fade))).max() for fade in ("0", "0.005"))
    own = np.abs(np.diff(wave)).max()
    assert hard > 0.55  # without a fade it clicks
    assert faded <= 1.15 * own + 0.002


def test_errors_of_rounding_do_not_add_up() -> None:
    # 300 spans whose ends fall between samples
    wave = noise(40)
    third = Fraction(1, 30)
    spans = [Span(start=4 * number * third, end=(4 * number + 1) * third) for number in range(300)]
    result = list(edited(Window(blocks(wave), FORM), EditList(spans)))
    assert sum(piece.shape[1] for piece in result) == 300 * RATE // 30 == samples_of(EditList(spans), RATE)


def test_a_long_fade_lets_nothing_be_heard_of_what_is_cut() -> None:
    wave = np.zeros(6 * RATE, np.float32)
    wave[2 * RATE : 4 * RATE] = 0.9  # the part that is cut
    result = render(wave, span("0", "2"), span("4", "6"), fade="0.5")
    assert len(result) == 4 * RATE
    assert not result.any()
    ones = np.ones(6 * RATE, np.float32)
    dip = render(ones, span("0", "2"), span("4", "6"), fade="0.5")
    assert dip[2 * RATE] < 0.01
    assert dip[RATE] == 1 == dip[3 * RATE]


@pytest.mark.parametrize("speed", ["2", "1.5", "8", "0.5", "1.1", "100"])
def test_speed_keeps_the_pitch_and_gives_the_exact_number_of_samples(speed: str) -> None:
    wave = sine(20)
    result = render(wave, span("0", "16", speed))
    assert len(result) == round(16 * RATE / Fraction(speed))
    middle = result[len(result) // 4 : 3 * len(result) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 20))
    assert spectrum.argmax() * RATE / (1 << 20) == pytest.approx(440, rel=0.002)
    assert np.abs(np.diff(result)).max() < 1.3 * np.abs(np.diff(wave)).max()


def test_a_faster_part_stands_between_its_neighbours_at_the_right_places() -> None:
    wave = noise(1)
    wave = np.concatenate([wave, np.zeros(2 * RATE, np.float32), noise(2)])
    result = render(wave, span("0", "1"), span("1", "3", "4"), span("3", "5"))
    fade = 5 * MILLISECOND
    assert len(result) == 7 * RATE // 2
    assert np.array_equal(result[: RATE - fade], wave[: RATE - fade])
    assert np.array_equal(result[3 * RATE // 2 + fade :], wave[3 * RATE + fade :])
    assert not np.abs(result[RATE + 50 * MILLISECOND : 3 * RATE // 2 - 50 * MILLISECOND]).any()


def test_volume_is_exact() -> None:
    wave = noise(2)
    result = render(wave, span("0", "1"), span("1", "2", volume="0.25"))
    fade = 5 * MILLISECOND
    assert np.array_equal(result[RATE + fade :], wave[RATE + fade :] * np.float32(0.25))


def test_sound_ends_where_the_track_does() -> None:
    wave = noise(1.5)
    assert len(render(wave, span("0", "1"), span("1.25", "9"))) == 5 * RATE // 4
    assert len(render(wave, span("0", "1"), span("2", "9"), span("10", "12", "3"))) <= RATE + 5 * MILLISECOND


def test_a_hole_in_the_track_is_silence_of_its_length_and_repeated_packets_do_not_shift_it() -> None:
    wave = noise(2)

    def broken() -> Iterator[Block]:
        for block in blocks(wave):
            if not RATE // 2 <= block.position < RATE:
                yield block
                yield block

    result = np.concatenate(list(edited(Window(broken(), FORM), EditList([span("0", "2")]))), axis=1)[0]
    assert len(result) == 2 * RATE
    assert np.array_equal(result[: RATE // 2], wave[: RATE // 2])
    assert not result[RATE // 2 + 1024 : RATE].any()
    assert np.array_equal(result[RATE + 1024 :], wave[RATE + 1024 :])


def test_half_an_hour_takes_no_more_memory_than_a_minute() -> None:
    block = np.zeros((2, 4096), np.float32)

    def quiet(seconds: int) -> Iterator[Block]:
        return (Block(start, block) for start in range(0, seconds * RATE, 4096))

    def peak(seconds: int) -> int:
        spans = [Span(start=Fraction(at), end=Fraction(at + 3)) for at in range(0, seconds - 5, 5)]
        tracemalloc.start()
        written = sum(piece.shape[1] for piece in edited(Window(quiet(seconds), FORM), EditList(spans)))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert written == len(spans) * 3 * RATE
        return highest

    assert peak(1800) < peak(60) + (1 << 20)
