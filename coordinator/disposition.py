"""How a delivered job ended here: a closed set, returned by what ran it and carried out by `worker.settle`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from framewire.errors import ErrorCode, FramewireError, WorkerError
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import Event, FidelityReport

LONGEST_DELAY: Final = 300.0
"""Seconds between a failed attempt and the next, however many have failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The result is in the object store."""

    output: Asset
    fidelity: FidelityReport


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAfter:
    """This attempt failed, the next one may not."""

    delay: float
    """Seconds to wait before it."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """No further attempt would help, or none is left."""

    error: FramewireError


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """This worker stops. The job did nothing wrong and loses no attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Somebody asked for the job to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced:
    """The job's log has moved on without this attempt: it ended, or another attempt runs."""

    last: Event | None
    """The newest event that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated:
    """The job failed with this order and was retried by hand: a newer order has taken its place."""


Disposition: TypeAlias = Done | RetryAfter | GiveUp | Interrupted | Cancelled | Fenced | Outdated


def after_failure(error: FramewireError, *, attempt: int, max_attempts: int, first_delay: float) -> RetryAfter | GiveUp:
    """What follows from an error of attempt number `attempt`: the error itself says whether trying again may help.

    The delay before the next is doubled with each attempt.
    """
    if not error.retryable:
        return GiveUp(error=error)
    if attempt >= max_attempts:
        return GiveUp(error=exhausted(max_attempts, f"the last one failed with {error.code}: {error.message}"))
    delay = min(first_delay * 2.0 ** max(attempt - 1, 0), LONGEST_DELAY)
    return RetryAfter(delay=delay, why=f"{error.code}: {error.message}")


def exhausted(attempts: int, why: str) -> WorkerError:
    """The error of a job whose attempts are used up."""
    return WorkerError(f"none of {attempts} attempts finished; {why}", code=ErrorCode.ATTEMPTS_EXHAUSTED)


def is_poison(code: str) -> bool:
    """Whether a job that failed so goes to the dead-letter stream: the machinery failed, not its input."""
    return code in {ErrorCode.ATTEMPTS_EXHAUSTED, ErrorCode.INTERNAL}
