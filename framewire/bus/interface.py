"""The bus as Framewire uses it: a queue of jobs, a log of events, dead letters, and boards.

The boards: jobs to be cancelled, workers that live, and what operators want paused or drained.

Every method raises `Unavailable` (BUS_UNAVAILABLE) when the servers behind it do not answer in time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from framewire.errors import Conflict
from framewire.v1.job_pb2 import Event
from framewire.v1.step_pb2 import Lane
from framewire.work.v1.work_pb2 import JobOrder, ModelBook, WorkerStatus

PRIORITIES: Final = (0, 1, 2, 3)
"""0 is the highest."""


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

    @property
    def placement(self) -> str:
        """Why this worker has it: `own`, or `overflow: 12 waited, more than 10`."""

    @property
    def stored(self) -> datetime:
        """When it was queued, by the queue's clock, in UTC."""

    async def in_progress(self) -> None:
        """Keep it for another `ack_wait`."""

    async def ack(self) -> None:
        """It is settled, remove it. Confirmed by the server before this returns."""

    async def retry(self, delay: float) -> None:
        """Give it back, to be handed out again after `delay` seconds."""


class JobQueue(Protocol):
    """Jobs waiting for a worker, by lane and priority."""

    async def publish(self, order: JobOrder) -> None:
        """Queue a job. While an order with this job id and `max_attempts` is queued or held, nothing changes.

        A retry by hand raises `max_attempts`: its order is another one, and is queued although the
        order of the attempts before may still be held by the worker that is burying it.
        """

    async def pull(
        self,
        lanes: Sequence[Lane.ValueType],
        *,
        wait: float,
        priorities: Sequence[int] = PRIORITIES,
        overflow_after: int | None = None,
    ) -> Delivery | None:
        """The most urgent job in `lanes` of these `priorities`, waiting up to `wait` seconds for one.

        Urgent is what `framewire.jobs.ranking` says: of jobs that came together the higher priority,
        of equals the one that came first; but a job that waits long enough goes before later ones
        of higher priority. With `overflow_after` only a job of a lane in which more than so many wait,
        whatever their priority.
        """

    async def remove(self, order: JobOrder) -> None:
        """Take an order out of the queue. A worker that holds it already is not told.

        The order of a retry, which has other `max_attempts`, stays: removing may come late.
        """

    async def announce_held_back(self, lane: Lane.ValueType, count: int) -> None:
        """Say how many more of the lane's jobs wait outside the queue, for those who decide by the backlog."""

    async def waiting(self, lane: Lane.ValueType) -> int:
        """How many jobs of the lane wait for a worker, those held back outside the queue included."""


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
        """The job's events with numbers above `after`, those to come included.

        Ends after the one that ends the job if that is the newest of the log: a failed job that was
        retried goes on. Without a gap and without a repeat, also when the connection is lost and
        found again meanwhile.
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

    async def withdraw(self, job_id: str) -> None:
        """Forget that somebody asked. Nothing happens when nobody did."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWish:
    """That a model shall stay loaded, or need not stay any longer."""

    model: str
    pinned: bool
    request: str
    """Tells this wish from an equal one before it: each is to be done once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlState:
    """What operators want now."""

    paused: frozenset[Lane.ValueType] = frozenset()
    """Lanes no job is taken from."""
    draining: frozenset[str] = frozenset()
    """Workers that take no more jobs."""
    models: frozenset[ModelWish] = frozenset()
    """The last wish about each model there was one about."""


class Controls(Protocol):
    """What operators ask of all workers. Kept until it is taken back; asking again changes nothing."""

    async def pause(self, lane: Lane.ValueType) -> None:
        """No worker shall take a job of this lane. Those that run go on."""

    async def resume(self, lane: Lane.ValueType) -> None:
        """Take `pause` back."""

    async def paused(self) -> frozenset[Lane.ValueType]:
        """Lanes that are paused now."""

    async def drain(self, worker: str) -> None:
        """This worker shall finish what it runs and take nothing new."""

    async def undrain(self, worker: str) -> None:
        """Take `drain` back."""

    async def draining(self) -> frozenset[str]:
        """Names of the workers that shall take nothing new."""

    async def pin(self, model: str) -> None:
        """This model shall be loaded, anew when its files have changed, and stay so. Asking again is another wish."""

    async def unpin(self, model: str) -> None:
        """This model shall be unloaded once nobody uses it. Asking again is another wish."""

    def watch(self) -> AsyncIterator[ControlState]:
        """The state now, and again after each change; may repeat. Catches up by itself after a lost connection."""


class BookConflict(Conflict):
    """Somebody else has written into the book since it was read."""

    def __init__(self) -> None:
        super().__init__("the book of models has moved on")


class ModelBooks(Protocol):
    """One book for each model server: what is known of its models, and who uses which.

    Who changes a book reads it, and writes it back if nobody else has done so meanwhile.
    """

    async def read(self, server: str) -> tuple[ModelBook, int]:
        """The book, and the number of its last change: an empty one and 0 when there is none."""

    async def write(self, server: str, book: ModelBook, *, after: int) -> int:
        """Replace what was read as number `after`. Returns its new number. Raises BookConflict."""

    async def changed(self, server: str, *, after: int, wait: float) -> bool:
        """Whether the book has another number than `after`; waits up to `wait` seconds for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An order that will not be done, and why."""

    number: int
    """Its place in the dead-letter stream."""
    job_id: str
    """Empty when it cannot be told."""
    reason: str
    """One line; starts with an error code when the job failed with one."""
    time: datetime
    """When it was buried, in UTC."""
    order: JobOrder | None
    """None when the order could not be read."""
    payload: bytes
    """The order as it was sent."""
    history: tuple[str, ...] = ()
    """What happened to the job, in words, oldest first."""


class DeadLetters(Protocol):
    """Orders that will not be done unless somebody asks for it, one letter a job: the newest."""

    async def bury(self, order: JobOrder, reason: str, history: Sequence[str] = ()) -> None:
        """Add a letter. Replaces the job's letter if there is one, under a new number."""

    async def list(self, *, after: int = 0, limit: int = 100) -> Sequence[DeadLetter]:
        """Up to `limit` letters with numbers above `after`, oldest first."""

    async def get(self, number: int) -> DeadLetter | None:
        """One letter, None when there is none of this number."""

    async def drop(self, number: int) -> None:
        """Remove a letter. One that is gone already is no error."""


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

    @property
    def controls(self) -> Controls:
        """The board of what operators want."""

    @property
    def models(self) -> ModelBooks:
        """The books of models."""

    @property
    def dead_letters(self) -> DeadLetters:
        """Orders that will not be done."""

    async def ping(self) -> None:
        """Raise Unavailable unless the servers answer."""

    async def close(self) -> None:
        """Flush and disconnect. Idempotent."""
