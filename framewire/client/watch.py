"""A job's events from a stream that may break: every event once, in order, across reconnections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from framewire.errors import ErrorCode, FramewireError
from framewire.jobs.states import ends_job, ends_job_for_good
from framewire.v1.job_pb2 import Event


class Stream(Protocol):
    """Where the events come from."""

    def open(self, after: int) -> AsyncIterator[Event]:
        """Open the stream of events with numbers above `after`; it may end or break at any time."""

    async def ended(self, after: int) -> bool:
        """Whether the job has ended and nothing comes after number `after`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a watch puts up with a server that is away."""

    first: float = 0.2
    """Seconds before the first reconnection; doubled each time, forgotten with the next event."""
    most: float = 5.0
    total: float = 60.0
    """Seconds without any answer after which the watch gives up."""


async def watch(stream: Stream, after: int, patience: Patience) -> AsyncIterator[Event]:
    """The events after number `after`, until the one that ends the job; a failed job that was retried goes on.

    Raises what the stream raised: at once when trying again cannot help, after `patience.total` seconds
    without an answer otherwise.
    """
    delay, answered = patience.first, time.monotonic()
    while True:
        failed = False
        try:
            async with aclosing(_events(stream, after)) as events:
                async for event in events:
                    delay, answered = patience.first, time.monotonic()
                    after = event.number
                    yield event
                    if ends_job_for_good(event):
                        return
                    failed = ends_job(event)
            if failed or await stream.ended(after):
                return
            answered = time.monotonic()
        except FramewireError as error:
            if not error.retryable or time.monotonic() - answered + delay > patience.total:
                raise
        await asyncio.sleep(delay)
        delay = min(delay * 2, patience.most)


async def _events(stream: Stream, after: int) -> AsyncGenerator[Event]:
    """The stream's events that are new. Ends without error when it lasted as long as a stream may."""
    try:
        async for event in stream.open(after):
            if event.number > after:
                after = event.number
                yield event
    except FramewireError as error:
        if error.code is not ErrorCode.DEADLINE_EXCEEDED:
            raise
