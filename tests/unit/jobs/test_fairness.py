"""How many orders of a workspace stand in the queue."""

from __future__ import annotations

import pytest

from framewire.jobs.fairness import LEAST_WINDOW, room, window


def test_without_workers_a_few_orders_stand_ready_for_the_first():
    assert window(0) == LEAST_WINDOW


@pytest.mark.parametrize("slots", [1, 3, 30])
def test_one_workspace_alone_can_fill_every_slot_and_has_the_next_job_ready(slots):
    assert window(slots) == slots + 1


@pytest.mark.parametrize(("held", "expected"), [(0, 4), (3, 1), (4, 0), (9, 0)])
def test_there_is_room_up_to_the_window_and_never_less_than_none(held, expected):
    assert room(held, 4) == expected


def test_anothers_first_job_waits_behind_a_window_and_not_behind_a_hundred():
    slots, queue, outside = 3, [], [f"a{number}" for number in range(100)]
    queue += [outside.pop(0) for _ in range(room(0, window(slots)))]
    queue.append("b0")
    started = []
    while "b0" not in started:
        started.append(queue.pop(0))
        queue += [outside.pop(0) for _ in range(room(sum(each[0] == "a" for each in queue), window(slots)))]
    assert started.index("b0") == window(slots)
