"""How long a queued job still waits."""

from __future__ import annotations

import pytest

from framewire.jobs.waiting import seconds_until_start


@pytest.mark.parametrize(
    ("position", "running", "slots", "expected"),
    [
        (1, 0, 3, 0.0),  # a slot is free
        (3, 0, 3, 0.0),
        (4, 0, 3, 10.0),  # the first of three running jobs of half a minute
        (1, 3, 3, 10.0),
        (6, 3, 3, 60.0),
        (1, 5, 3, 10.0),  # more run than there are slots: a worker has just gone
    ],
)
def test_free_slots_take_the_first_jobs_and_then_one_slot_becomes_free_at_a_time(position, running, slots, expected):
    assert seconds_until_start(position, running=running, slots=slots, average=30.0) == expected


def test_without_workers_nothing_can_be_told():
    assert seconds_until_start(1, running=0, slots=0, average=30.0) is None


def test_before_the_first_job_has_ended_only_a_free_slot_can_be_told():
    assert seconds_until_start(1, running=0, slots=1, average=None) == 0.0
    assert seconds_until_start(2, running=0, slots=1, average=None) is None
