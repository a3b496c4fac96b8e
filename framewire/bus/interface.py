"""The bus as Framewire uses it: a queue of jobs, a log of events, a board of cancellations, a board of workers.

Every method raises `Unavailable` (BUS_UNAVAILABLE) when the servers behind it do not answer in time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from framewire.errors import Conflict
from framewire.v1.job_pb2 import Event
from framewire.v1.step_pb2 import Lane
from framewire.work.v1.work_pb2 import JobOrder, WorkerStatus


class EventConflict(Conflict):
    """The job's log has moved on: somebody else appended first. `last` is the newest event, None for an empty log."""

    def __init__(self, last: Event | None) -> None:
        super().__init__("the job's event log has moved on")
        self.last = last


class Delivery(Protocol):
    """A job handed to this worker, and to no other as long as it says `in_progress` often enough."""

    @property
    def order(self) -> JobOrder:
        """The job."""

    async def in_progress(self) -> None:
        """Keep it for another `ack_wait`."""

    async def ack(self) -> None:
        """It is settled, remove it. Confirmed by the server before this returns."""

    async def retry(self, delay: float) -> None:
        """Give it back, to be handed out again after `delay` seconds."""


class JobQueue(Protocol):
    """Jobs waiting for a worker, by lane and priority."""

    async def publish(self, order: JobOrder) -> None:
        """Queue a job. While a job of this id is queued or held, publishing it again changes nothing."""

    async def pull(self, lanes: Sequence[Lane.ValueType], *, wait: float) -> Delivery | None:
        """The first job of the highest priority in `lanes`, waiting up to `wait` seconds for one."""

    async def remove(self, order: JobOrder) -> None:
        """Take a job out of the queue. A worker that holds it already is not told."""

    async def bury(self, order: JobOrder, reason: str) -> None:
        """Put a job that will never be done into the dead-letter stream, with the reason."""


class EventLog(Protocol):
    """The events of each job, in order, numbered by the stream that keeps them."""

    async def append(self, event: Event, *, after: int) -> int:
        """Append to the job's log if its newest event is still number `after` (0: still empty).

        Returns the event's number. Raises EventConflict when the log has moved on: this is the fence
        that keeps a stale worker from saying anything once another attempt, or the end, is in the log.
        """

    async def last(self, job_id: str) -> Event | None:
        """The job's newest event, with its number."""

    def read(self, job_id: str, *, after: int = 0) -> AsyncIterator[Event]:
        """The job's events with numbers above `after`, those to come included; ends after the one that ends the job.

        Without a gap and without a repeat, also when the connection is lost and found again meanwhile.
        """

    async def open_feed(self, name: str) -> EventFeed:
        """All jobs' events for a reader called `name` that remembers how far it came."""


class Received(Protocol):
    """An event of a feed, to be acknowledged when what follows from it is stored."""

    @property
    def event(self) -> Event:
        """The event, with its number."""

    async def ack(self) -> None:
        """Do not deliver it again."""


class EventFeed(Protocol):
    """Every job's events, at least once each, in order but for redeliveries."""

    async def fetch(self, *, batch: int, wait: float) -> Sequence[Received]:
        """Up to `batch` events, waiting up to `wait` seconds for the first.

        After Unavailable the feed is to be opened again: the servers may have lost what they knew of it.
        """

    async def close(self) -> None:
        """Stop reading; the position stays."""


class Cancellations(Protocol):
    """Jobs somebody wants stopped. Kept until long after the job could still be queued."""

    async def request(self, job_id: str) -> None:
        """Ask for a job to stop. Asking again changes nothing."""

    async def is_requested(self, job_id: str) -> bool:
        """Whether somebody asked."""

    def watch(self) -> AsyncIterator[str]:
        """Job ids as they are asked for from now on; may repeat."""


class Workers(Protocol):
    """Which workers live and what they can do."""

    async def announce(self, status: WorkerStatus) -> None:
        """Say that a worker lives. Forgotten when not repeated within 10 seconds."""

    async def withdraw(self, worker: str) -> None:
        """Say that a worker is gone."""

    async def live(self) -> Sequence[WorkerStatus]:
        """The workers that live now."""


class Bus(Protocol):
    """All of it over one connection."""

    @property
    def jobs(self) -> JobQueue:
        """The queue of jobs."""

    @property
    def events(self) -> EventLog:
        """The log of events."""

    @property
    def cancellations(self) -> Cancellations:
        """The board of cancellations."""

    @property
    def workers(self) -> Workers:
        """The board of workers."""

    async def ping(self) -> None:
        """Raise Unavailable unless the servers answer."""

    async def close(self) -> None:
        """Flush and disconnect. Idempotent."""
