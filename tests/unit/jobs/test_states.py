"""The ways between the states of a job."""

from __future__ import annotations

import pytest

from framewire.jobs.states import FINAL, TERMINAL, can_follow, ends_job, ends_job_for_good
from framewire.v1.job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    JOB_STATE_WAITING_UPLOAD,
    Event,
    JobState,
    Progress,
    StatusChange,
)

_STATES = [number for number in JobState.values() if number]


@pytest.mark.parametrize("state", sorted(FINAL))
def test_nothing_follows_a_success_or_a_cancellation(state):
    assert not [following for following in _STATES if can_follow(state, following)]


def test_a_failed_job_may_only_be_queued_again():
    assert [following for following in _STATES if can_follow(JOB_STATE_FAILED, following)] == [JOB_STATE_QUEUED]


def test_nothing_becomes_waiting_for_an_upload_again():
    assert not [state for state in _STATES if can_follow(state, JOB_STATE_WAITING_UPLOAD)]


@pytest.mark.parametrize("state", [JOB_STATE_QUEUED, JOB_STATE_RUNNING])
def test_a_job_that_has_not_ended_may_run_be_queued_or_end(state):
    allowed = {following for following in _STATES if can_follow(state, following)}
    assert allowed == {JOB_STATE_QUEUED, JOB_STATE_RUNNING, *TERMINAL}


def test_a_failure_ends_a_job_but_not_for_good():
    failed, done = (Event(status=StatusChange(state=state)) for state in (JOB_STATE_FAILED, JOB_STATE_SUCCEEDED))
    assert (ends_job(failed), ends_job_for_good(failed)) == (True, False)
    assert (ends_job(done), ends_job_for_good(done)) == (True, True)
    assert ends_job(Event(status=StatusChange(state=JOB_STATE_CANCELLED)))
    assert not ends_job(Event(progress=Progress(fraction=1.0)))
