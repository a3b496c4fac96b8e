"""Which segments count after what attempts said."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from framewire.jobs.segments import fold, followed_by
from framewire.v1.job_pb2 import JOB_STATE_RUNNING, Event, Progress, Segment, StatusChange


def committed(index: int, attempt: int = 1) -> Event:
    return Event(attempt=attempt, segment=Segment(index=index, start=index * 2.0, duration=2.0))


def places(events: list[Event]) -> list[tuple[int, int]]:
    """Index and attempt of what counts."""
    return [(each.segment.index, each.attempt) for each in fold(events)]


def test_segments_count_in_the_order_they_were_committed() -> None:
    assert places([committed(0), committed(1), committed(2)]) == [(0, 1), (1, 1), (2, 1)]


def test_a_later_attempt_goes_on_behind_what_counts() -> None:
    assert places([committed(0), committed(1), committed(2, attempt=2)]) == [(0, 1), (1, 1), (2, 2)]


def test_a_segment_takes_the_place_of_that_with_its_index_and_of_all_behind_it() -> None:
    assert places([committed(0), committed(1), committed(2), committed(1, attempt=2)]) == [(0, 1), (1, 2)]


def test_a_segment_behind_a_hole_does_not_count() -> None:
    assert places([committed(0), committed(2), committed(3)]) == [(0, 1)]


def test_nothing_else_that_is_said_of_a_job_matters() -> None:
    running = Event(attempt=2, status=StatusChange(state=JOB_STATE_RUNNING))
    assert places([committed(0), running, Event(attempt=2, progress=Progress(fraction=1.0))]) == [(0, 1)]


def attempts(seed: int) -> Iterator[Event]:
    """What a job with many deaths may say: each attempt keeps a part of what counts and goes on from there."""
    rng = random.Random(seed)
    kept = 0
    for attempt in range(1, rng.randint(2, 12)):
        kept = rng.choice([kept, kept, rng.randint(0, kept)])
        for _ in range(rng.randint(0, 4)):
            yield committed(kept, attempt)
            kept += 1
            if rng.random() < 0.3:
                yield Event(attempt=attempt, progress=Progress())


@pytest.mark.parametrize("seed", range(200))
def test_whatever_died_there_is_no_hole_and_each_place_is_held_by_who_committed_it_last(seed: int) -> None:
    events = list(attempts(seed))
    counted = fold(events)
    assert [each.segment.index for each in counted] == list(range(len(counted)))
    assert [each.attempt for each in counted] == sorted(each.attempt for each in counted)
    for each in counted:
        last = [event for event in events if event.HasField("segment") and event.segment.index <= each.segment.index]
        holder = [event for event in last if event.segment.index == each.segment.index][-1]
        assert each.attempt == holder.attempt
        assert not any(event.segment.index < each.segment.index for event in last[last.index(holder) :])
    assert counted == followed_by_one_by_one(events)


def followed_by_one_by_one(events: list[Event]) -> object:
    """Folded in two parts, as somebody does who looks into the log again."""
    half = fold(events[: len(events) // 2])
    for event in events[len(events) // 2 :]:
        half = followed_by(half, event)
    return half
