"""The recorder: what workers said becomes what GET answers."""

from __future__ import annotations

import logging
import time

from framewire.bus.interface import EventFeed, EventLog, Received
from framewire.db.folding import ObjectKeys
from framewire.db.jobs import JobStore
from framewire.errors import FramewireError, Unavailable
from framewire.storage.keys import result_key, segments_prefix, thumbnail_key
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import Event

FEED = "recorder"
_BATCH = 256
_WAIT = 5.0
TOGETHER = 0.1
"""Seconds in which what jobs say of their progress is folded together; nothing else waits for company."""
_TRIES = 3
"""Times a batch is refused, by a database that answers, before its events are tried one by one."""
log = logging.getLogger(__name__)


class Recorder:
    """One round folds one batch of events in one transaction and acknowledges it then.

    A batch that could not be folded is tried again before the next is asked for: a job's events are folded in order.
    An event that can never be folded is passed over, with a critical line in the log, and holds up no other.
    """

    def __init__(self, jobs: JobStore, events: EventLog, *, together: float = TOGETHER) -> None:
        self._jobs = jobs
        self._events = events
        self._together = together
        self._feed: EventFeed | None = None
        self._batch: list[Received] = []
        self._failures = 0

    async def round(self) -> None:
        """Wait for events, at most a few seconds, and fold them."""
        if self._feed is None:
            self._feed = await self._events.open_feed(FEED)
        if not self._batch:
            await self._gather(self._feed)
        if not self._batch:
            return
        await self._store()
        for received in self._batch:
            await received.ack()
        self._batch = []

    async def _store(self) -> None:
        try:
            await self._fold(*(received.event for received in self._batch))
        except FramewireError:
            raise  # the database is away: nothing is wrong with the events
        except Exception:
            self._failures += 1
            if self._failures < _TRIES:
                raise
            await self._fold_one_by_one()
        self._failures = 0

    async def _fold_one_by_one(self) -> None:
        """Pass over the events that cannot be stored, so that all others can. They stay in the log."""
        for received in self._batch:
            event = received.event
            try:
                await self._fold(event)
            except FramewireError:
                raise
            except Exception:
                log.critical("event %d of %s is not recorded", event.number, event.job_id, exc_info=True)

    async def _fold(self, *events: Event) -> None:
        await self._jobs.fold(events, keys=KEYS)

    async def _gather(self, feed: EventFeed) -> None:
        """A batch. Jobs say often how far they are: a transaction for each time would cost more than all watchers."""
        self._batch = newest = await self._fetch(feed, batch=_BATCH, wait=_WAIT)
        until = time.monotonic() + self._together
        while newest and len(self._batch) < _BATCH and all(map(_says_progress, newest)):
            if (left := until - time.monotonic()) <= 0:
                return
            newest = await self._fetch(feed, batch=_BATCH - len(self._batch), wait=left)
            self._batch += newest

    async def _fetch(self, feed: EventFeed, *, batch: int, wait: float) -> list[Received]:
        try:
            return [*await feed.fetch(batch=batch, wait=wait)]
        except Unavailable:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop reading. What was not acknowledged comes again."""
        if self._feed is not None:
            await self._feed.close()
            self._feed = None


def _says_progress(received: Received) -> bool:
    return received.event.WhichOneof("kind") == "progress"


def _result(event: Event, output: Asset) -> str:
    return result_key(event.workspace_id, event.job_id, event.attempt, output.asset_id)


def _thumbnail(event: Event) -> str:
    return thumbnail_key(event.workspace_id, event.job_id, event.attempt)


KEYS = ObjectKeys(result=_result, thumbnail=_thumbnail, segments=segments_prefix)
"""Where the attempt that ended a job put what it made."""
