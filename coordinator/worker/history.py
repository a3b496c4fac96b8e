"""What a dead letter tells of its job: the states it went through."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from framewire.bus.interface import EventLog
from framewire.jobs.states import state_name
from framewire.v1.job_pb2 import Event

_LIMIT: Final = 3.0
"""Seconds reading may take: a letter with half a history is better than none."""


async def history_of(job_id: str, log: EventLog) -> list[str]:
    """A line per state a job that has ended went through, oldest first. Raises Unavailable."""
    lines: list[str] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LIMIT):
            async for event in log.read(job_id):
                if event.HasField("status"):
                    lines.append(_line(event))  # noqa: PERF401 - what was read before the limit counts
    return lines


def _line(event: Event) -> str:
    status = event.status
    where = f" on {status.worker}" if status.worker else ""
    why = f": {status.message}" if status.message else ""
    time = event.time.ToDatetime().isoformat(sep=" ", timespec="seconds")
    return f"{time} attempt {event.attempt} {state_name(status.state)}{where}{why}"
