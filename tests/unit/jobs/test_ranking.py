"""Priorities with ageing."""

from __future__ import annotations

import pytest

from framewire.jobs.ranking import AGEING_SECONDS, urgency


def test_of_jobs_that_came_together_the_higher_priority_goes_first() -> None:
    assert sorted([3, 0, 2, 1], key=lambda priority: urgency(priority, 10.0)) == [0, 1, 2, 3]


def test_of_equal_priorities_the_one_that_waited_longer_goes_first() -> None:
    assert urgency(2, 20.0) < urgency(2, 10.0)


@pytest.mark.parametrize("priority", [1, 2, 3])
def test_a_lower_priority_goes_first_once_it_has_waited_a_step_of_ageing_longer_for_each_step(priority: int) -> None:
    assert urgency(priority, priority * AGEING_SECONDS - 1) > urgency(0, 0)
    assert urgency(priority, priority * AGEING_SECONDS + 1) < urgency(0, 0)


def test_the_lowest_priority_is_served_although_higher_ones_never_stop_coming() -> None:
    """Each second a job of priority 0 and one of 1 come and one is served; one of 3 waits from the start."""
    waiting, served = [(3, 0)], []
    for now in range(400):
        waiting.append((0, now))
        waiting.append((1, now))
        first = min(waiting, key=lambda job: urgency(job[0], now - job[1]))
        waiting.remove(first)
        served.append(first)
    assert served.index((3, 0)) <= 2 * (3 * AGEING_SECONDS + 1)
