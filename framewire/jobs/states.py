"""The states of a job and the ways between them.

    WAITING_UPLOAD -> QUEUED -> RUNNING -> SUCCEEDED | FAILED | CANCELLED

A retry after a crash is RUNNING -> RUNNING with the next attempt; an interruption
(shutdown of a worker) is RUNNING -> QUEUED and costs no attempt.
"""

from __future__ import annotations

from framewire.v1.job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    JOB_STATE_WAITING_UPLOAD,
    Event,
    JobState,
)

TERMINAL = frozenset({JOB_STATE_SUCCEEDED, JOB_STATE_FAILED, JOB_STATE_CANCELLED})

_NEXT: dict[int, frozenset[int]] = {
    JOB_STATE_WAITING_UPLOAD: frozenset({JOB_STATE_QUEUED, JOB_STATE_FAILED, JOB_STATE_CANCELLED}),
    JOB_STATE_QUEUED: frozenset({JOB_STATE_QUEUED, JOB_STATE_RUNNING, *TERMINAL}),
    JOB_STATE_RUNNING: frozenset({JOB_STATE_RUNNING, JOB_STATE_QUEUED, *TERMINAL}),
}


def can_follow(state: JobState.ValueType, following: JobState.ValueType) -> bool:
    """Whether a job in `state` may enter `following`. Nothing follows a terminal state."""
    return following in _NEXT.get(state, frozenset())


def ends_job(event: Event) -> bool:
    """Whether nothing can come after this event."""
    return event.WhichOneof("kind") == "status" and event.status.state in TERMINAL


def state_name(state: JobState.ValueType) -> str:
    """The state in words for people: `SUCCEEDED`, not `JOB_STATE_SUCCEEDED`."""
    return JobState.Name(state).removeprefix("JOB_STATE_")
