"""Faults of the result that its input does not have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coordinator.media.checks import GRID, FrameChecks, look, report

Picture = NDArray[np.uint8]


def picture(number: int, height: int = 90, width: int = 160) -> Picture:
    """A gradient that moves; samples from 40 to 200."""
    y, x = np.mgrid[0:height, 0:width]
    values = 40 + (x * 160 // width + y * 90 // height + number * 20) % 160
    return np.repeat(values[..., None], 3, axis=-1).astype(np.uint8)


def run(before: list[Picture], after: list[Picture]) -> FrameChecks:
    checks = FrameChecks({})
    for one, other in zip(before, after, strict=True):
        checks.add(look(one), look(other))
    return checks


def counts(checks: FrameChecks) -> dict[str, int]:
    return {field.name: value for field, value in report(checks.counters()).ListFields()}


FILM = [picture(number) for number in range(6)]


def test_a_sound_result_has_no_faults() -> None:
    larger = [frame.repeat(3, 0).repeat(3, 1) for frame in FILM]
    assert counts(run(FILM, larger)) == {"frames": 6}


def test_the_points_lie_at_the_same_places_whatever_the_size() -> None:
    small = np.arange(30 * 40 * 3).reshape(30, 40, 3).astype(np.uint8)
    assert look(small).shape == (GRID, GRID, 3)
    assert np.array_equal(look(small), look(small.repeat(4, 0).repeat(4, 1)))
    assert look(np.zeros((1, 2, 3), np.uint8)).shape == (GRID, GRID, 3)


def test_frames_that_became_black_are_counted_and_black_ones_are_not() -> None:
    black, darker = np.full_like(FILM[0], 3), np.full_like(FILM[0], 9)
    assert counts(run([black, FILM[1], FILM[2]], [black, darker, FILM[2]])) == {"frames": 3, "black": 1}


def test_a_result_that_stands_still_while_the_film_moves_is_frozen() -> None:
    after = [FILM[0], FILM[0], FILM[0], FILM[3], FILM[4], FILM[4]]
    assert counts(run(FILM, after)) == {"frames": 6, "frozen": 3, "longest_freeze": 2}


def test_a_film_that_stands_still_itself_is_not_frozen() -> None:
    still = [FILM[0]] * 6
    assert counts(run(still, still)) == {"frames": 6}


def test_patches_of_pure_black_where_the_film_has_none_are_broken() -> None:
    patched = FILM[1].copy()
    patched[20:60, 30:90] = 0
    assert counts(run(FILM[:3], [FILM[0], patched, FILM[2]])) == {"frames": 3, "broken": 1}


def test_a_run_that_goes_on_counts_what_an_undisturbed_one_counts() -> None:
    after = [FILM[0], FILM[0], np.zeros_like(FILM[0]), FILM[3], FILM[3], FILM[5]]
    whole = FrameChecks({})
    for number, (one, other) in enumerate(zip(FILM, after, strict=True)):
        if number == 3:
            whole.begin_unit()
        whole.add(look(one), look(other))
    first = run(FILM[:3], after[:3])
    second = FrameChecks({**first.counters(), "held": 7})
    second.begin_unit()
    for one, other in zip(FILM[3:], after[3:], strict=True):
        second.add(look(one), look(other))
    assert second.counters() == whole.counters()
    assert counts(whole) == {"frames": 6, "black": 1, "frozen": 2, "longest_freeze": 1}


def test_held_frames_count_as_often_as_they_are_shown() -> None:
    checks = FrameChecks({})
    checks.add(look(FILM[0]), look(np.zeros_like(FILM[0])), times=4)
    assert counts(checks) == {"frames": 4, "black": 4}
