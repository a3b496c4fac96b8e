"""Queue positions and retries in words."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from framewire.cli.words import ordinal, queue_words, retried_words, span, status_words
from framewire.v1.job_pb2 import JOB_STATE_QUEUED, JOB_STATE_RUNNING, Job, StatusChange


def test_a_waiting_job_says_where_it_stands_and_when_it_starts():
    assert (
        queue_words(Job(queue_position=3, queue_eta=Duration(seconds=130))) == "3rd in the queue, starts in about 2 min"
    )
    assert queue_words(Job(queue_position=1)) == "1st in the queue"
    assert queue_words(Job()) == ""


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (112, "112th"), (121, "121st")],
)
def test_ordinals_are_spelled_as_people_do(number, expected):
    assert ordinal(number) == expected


@pytest.mark.parametrize(("time", "expected"), [(0, "0 s"), (99.4, "99 s"), (180, "3 min"), (9000, "2.5 h")])
def test_a_span_is_in_the_unit_people_would_use(time, expected):
    assert span(time) == expected


def test_a_rented_worker_is_named_with_the_reason():
    status = StatusChange(state=JOB_STATE_RUNNING, worker="rented-1", placement="overflow: 12 waited, more than 10")
    assert status_words(status, 1) == "RUNNING (worker rented-1, overflow: 12 waited, more than 10)"
    status.placement = "own"
    assert status_words(status, 1) == "RUNNING (worker rented-1)"


def test_a_retried_job_says_which_attempt_is_next():
    job = Job(job_id="job_1", state=JOB_STATE_QUEUED, attempt=2, max_attempts=4)
    assert retried_words(job) == "job_1 is QUEUED, attempt 3 of 4 is next"
