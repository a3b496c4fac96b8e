"""The states of a job and the ways between them.

    WAITING_UPLOAD -> QUEUED -> RUNNING -> SUCCEEDED | FAILED | CANCELLED
                        ^                                |
                        +------- somebody asks ----------+

A retry after a crash is RUNNING -> RUNNING with the next attempt; an interruption (shutdown of a worker) is
RUNNING -> QUEUED and costs no attempt; FAILED -> QUEUED is the gateway's alone, when somebody asks for a retry.
docs/job-states.md shows who makes which transition.
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

FINAL = frozenset({JOB_STATE_SUCCEEDED, JOB_STATE_CANCELLED})
"""Nothing follows these, ever."""
TERMINAL = FINAL | {JOB_STATE_FAILED}
"""A job here has ended; a FAILED one until somebody asks for a retry."""

_NEXT: dict[int, frozenset[int]] = {
    JOB_STATE_WAITING_UPLOAD: frozenset({JOB_STATE_QUEUED, JOB_STATE_FAILED, JOB_STATE_CANCELLED}),
    JOB_STATE_QUEUED: frozenset({JOB_STATE_QUEUED, JOB_STATE_RUNNING, *TERMINAL}),
    JOB_STATE_RUNNING: frozenset({JOB_STATE_RUNNING, JOB_STATE_QUEUED, *TERMINAL}),
    JOB_STATE_FAILED: frozenset({JOB_STATE_QUEUED}),
}


def can_follow(state: JobState.ValueType, following: JobState.ValueType) -> bool:
    """Whether a job in `state` may enter `following`."""
    return following in _NEXT.get(state, frozenset())


def ends_job(event: Event) -> bool:
    """Whether this event ends the job; with FAILED, unless somebody asks for a retry."""
    return event.WhichOneof("kind") == "status" and event.status.state in TERMINAL


def ends_job_for_good(event: Event) -> bool:
    """Whether nothing can come after this event."""
    return event.WhichOneof("kind") == "status" and event.status.state in FINAL


def state_name(state: JobState.ValueType) -> str:
    """The state in words for people: `SUCCEEDED`, not `JOB_STATE_SUCCEEDED`."""
    return JobState.Name(state).removeprefix("JOB_STATE_")
