"""The recorder: what workers said becomes what GET answers."""

from __future__ import annotations

from collections.abc import Sequence

from framewire.bus.interface import EventFeed, EventLog, Received
from framewire.db.jobs import JobStore
from framewire.errors import Unavailable
from framewire.storage.keys import result_key
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import Event

FEED = "recorder"
_BATCH = 256
_WAIT = 5.0


class Recorder:
    """One round folds one batch of events in one transaction and acknowledges it then.

    A batch that could not be folded is tried again before the next is asked for: a job's events are folded in order.
    """

    def __init__(self, jobs: JobStore, events: EventLog) -> None:
        self._jobs = jobs
        self._events = events
        self._feed: EventFeed | None = None
        self._batch: Sequence[Received] = ()

    async def round(self) -> None:
        """Wait for events, at most a few seconds, and fold them."""
        if self._feed is None:
            self._feed = await self._events.open_feed(FEED)
        if not self._batch:
            self._batch = await self._fetch(self._feed)
        if not self._batch:
            return
        await self._jobs.fold([received.event for received in self._batch], result_key=key_of_result)
        for received in self._batch:
            await received.ack()
        self._batch = ()

    async def _fetch(self, feed: EventFeed) -> Sequence[Received]:
        try:
            return await feed.fetch(batch=_BATCH, wait=_WAIT)
        except Unavailable:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop reading. What was not acknowledged comes again."""
        if self._feed is not None:
            await self._feed.close()
            self._feed = None


def key_of_result(event: Event, output: Asset) -> str:
    """Where the attempt that ended the job put its result."""
    return result_key(event.workspace_id, event.job_id, event.attempt, output.asset_id)
