"""What has been said of a job up to now, without waiting for what is to come."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from framewire.bus.interface import EventLog
from framewire.v1.job_pb2 import Event


async def past(events: EventLog, job_id: str, *, after: int = 0, until: int) -> AsyncGenerator[Event]:
    """The job's events with numbers above `after` up to `until`, which must be the number of one of them."""
    if after >= until:
        return
    async with aclosing(events.read(job_id, after=after)) as reading:  # type: ignore[type-var]  # readers are generators
        async for event in reading:
            yield event
            if event.number >= until:
                return
