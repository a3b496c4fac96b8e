"""What earlier attempts have committed, brought back as local files for a runner to go on behind."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from pathlib import Path
from typing import Final

from coordinator.worker.journal import Journal
from coordinator.worker.patience import patiently
from coordinator.worker.tools import Tools
from coordinator.worker.transfer import file_facts
from framewire.bus.interface import EventLog
from framewire.bus.past import past
from framewire.errors import NotFound
from framewire.jobs.segments import Committed, CommittedSegment, fold
from framewire.storage.keys import segment_key, segment_record_key
from framewire.work.v1.work_pb2 import JobOrder, StoredSegment

log = logging.getLogger(__name__)

_READ_LIMIT: Final = 60.0
"""Seconds reading a job's log may take."""
_AT_ONCE: Final = 4
"""Segments fetched at the same time."""


async def committed_before(journal: Journal, events: EventLog, order: JobOrder, *, patience: float) -> Committed:
    """The segments that count as the attempt of `journal` begins. Raises Unavailable."""
    if not journal.has_past:
        return ()
    return await patiently(
        lambda: _read(events, order.job_id, until=journal.newest), patience=patience, limit=_READ_LIMIT
    )


async def _read(events: EventLog, job_id: str, *, until: int) -> Committed:
    async with aclosing(past(events, job_id, until=until)) as told:
        return fold([event async for event in told if event.HasField("segment")])


async def fetch_committed(order: JobOrder, committed: Committed, folder: Path, tools: Tools) -> list[StoredSegment]:
    """The longest beginning of `committed` whose bytes are there and right, as files in `folder`.

    The last has a record; the others need none. Raises Unavailable when the store stays away.
    """
    fetching = _Fetching(order, folder, tools)
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(each: CommittedSegment) -> Path | None:
        async with places:
            return await fetching.file(each)

    fetches = [asyncio.ensure_future(one(each)) for each in committed]
    try:
        files = await asyncio.gather(*fetches)
    finally:
        for each in fetches:
            each.cancel()
    stored = [
        StoredSegment(segment=each.segment, path=str(file))
        for each, file in zip(committed, _until_none(files), strict=False)
    ]
    while stored:
        if record := await fetching.record(committed[len(stored) - 1]):
            stored[-1].record_path = str(record)
            break
        stored.pop()
    if committed:
        log.info("%d of %d segments of earlier attempts are there", len(stored), len(committed))
    return stored


def _until_none(files: list[Path | None]) -> list[Path]:
    present: list[Path] = []
    for file in files:
        if file is None:
            break
        present.append(file)
    return present


class _Fetching:
    def __init__(self, order: JobOrder, folder: Path, tools: Tools) -> None:
        self._order = order
        self._folder = folder
        self._transfer = tools.transfer

    async def file(self, each: CommittedSegment) -> Path | None:
        """The segment's file; None when it is not there or not what was committed."""
        key = segment_key(self._order.workspace_id, self._order.job_id, each.attempt, each.segment.index)
        return await self._fetch(key, f"{each.segment.index:06d}.mp4", each.segment.sha256)

    async def record(self, each: CommittedSegment) -> Path | None:
        """The segment's record, likewise."""
        key = segment_record_key(self._order.workspace_id, self._order.job_id, each.attempt, each.segment.index)
        return await self._fetch(key, f"{each.segment.index:06d}.record", each.segment.record_sha256)

    async def _fetch(self, key: str, name: str, sha256: str) -> Path | None:
        path = self._folder / name
        try:
            await self._transfer.get(key, path)
        except NotFound:
            log.warning("%s is not in the store any more", key)
            return None
        facts = await asyncio.to_thread(file_facts, path)
        if facts.sha256 != sha256:
            log.warning("%s is not what was committed", key)
            return None
        return path
