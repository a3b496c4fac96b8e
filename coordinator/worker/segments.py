"""Commits what a running attempt has finished: the bytes of a segment first, then the word in the job's log."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from coordinator.worker.journal import Journal
from coordinator.worker.tools import Tools
from coordinator.worker.transfer import file_facts, open_own
from framewire.bus.interface import EventConflict
from framewire.errors import ErrorCode, FramewireError, WorkerError
from framewire.jobs.segments import Committed
from framewire.storage.keys import segment_key, segment_record_key
from framewire.v1.job_pb2 import LogLine, Segment
from framewire.work.v1.work_pb2 import JobOrder, StoredSegment

log = logging.getLogger(__name__)

_RECORDS_KEPT = 2
"""Records of the newest segments that stay in the store: the last, and one in case that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    """Where a segment and its record lie."""

    file: str
    record: str


class Commits:
    """Segments of one attempt, committed one after the other in a task of their own; nothing waits for them.

    When one cannot be committed the attempt goes on, and none behind it is committed either: segments have no holes.
    """

    def __init__(self, order: JobOrder, journal: Journal, tools: Tools, resumed: Committed) -> None:
        """`resumed`: what counts already, and the runner may go on behind."""
        self._order = order
        self._journal = journal
        self._tools = tools
        self._attempts = [each.attempt for each in resumed]
        self._begun = False
        self._given_up = False
        self._waiting: asyncio.Queue[StoredSegment | None] = asyncio.Queue()
        self._work = asyncio.create_task(self._commit_all(), name=f"commit segments of {order.job_id}")

    def add(self, stored: StoredSegment) -> None:
        """A segment is closed: commit it when it is its turn."""
        if not self._given_up:
            self._waiting.put_nowait(stored)

    async def close(self, *, within: float) -> None:
        """Commit what is closed, for at most `within` seconds, and stop: also when cancelled meanwhile. Idempotent."""
        self._waiting.put_nowait(None)
        try:
            await asyncio.wait({self._work}, timeout=within)
        finally:
            self._work.cancel()
            await asyncio.wait({self._work})

    async def _commit_all(self) -> None:
        try:
            while (stored := await self._waiting.get()) is not None:
                await self._commit(stored)
        except EventConflict:
            log.info("the job has moved on: no segment of this attempt counts any more")  # the attempt hears of it too
        except FramewireError as error:
            await self._give_up(error)
        except Exception as error:
            log.exception("segments are not committed any more for a reason nobody thought of")
            await self._give_up(WorkerError(type(error).__name__, code=ErrorCode.INTERNAL))
        finally:
            self._given_up = True

    async def _commit(self, stored: StoredSegment) -> None:
        index = stored.segment.index
        self._make_room_for(index)
        segment = await asyncio.to_thread(described, stored)
        keys, patience = self._keys(index, self._journal.attempt), self._tools.settings.segment_patience
        transfer = self._tools.transfer
        await transfer.store(keys.file, Path(stored.path), patience=patience)
        await transfer.store(keys.record, Path(stored.record_path), patience=patience)
        # from here on the log may name them, whatever becomes of the answer
        transfer.keep(keys.file, keys.record)
        try:
            await self._journal.segment(segment, patience=patience)
        except EventConflict:
            await asyncio.gather(transfer.delete(keys.file), transfer.delete(keys.record))
            raise
        self._attempts.append(self._journal.attempt)
        await self._forget_record(index - _RECORDS_KEPT)

    def _make_room_for(self, index: int) -> None:
        """The runner may drop what it cannot go on behind, once, before its first segment."""
        if not self._begun and 0 <= index <= len(self._attempts):
            del self._attempts[index:]
        if index != len(self._attempts):
            raise WorkerError(f"segment {index} does not follow {len(self._attempts) - 1}", code=ErrorCode.INTERNAL)
        self._begun = True

    async def _forget_record(self, index: int) -> None:
        """Records hold what steps remember, which may be large."""
        if index >= 0:
            await self._tools.transfer.delete(self._keys(index, self._attempts[index]).record)

    async def _give_up(self, error: FramewireError) -> None:
        self._given_up = True
        text = f"what is done from here on is not kept should this attempt break off: {error.message}"
        log.warning("%s", text)
        try:
            await self._journal.log(LogLine(level="warning", text=text))
        except FramewireError as unsaid:
            log.warning("that cannot be said in the job's log: %s", unsaid.message)

    def _keys(self, index: int, attempt: int) -> _Keys:
        place = (self._order.workspace_id, self._order.job_id, attempt, index)
        return _Keys(file=segment_key(*place), record=segment_record_key(*place))


def described(stored: StoredSegment) -> Segment:
    """The segment with size and hashes of its files, whatever the runner says of them. Blocking.

    Raises WorkerError (RUNNER_CRASHED) when there is no such file.
    """
    file = file_facts(Path(stored.path))
    segment = Segment()
    segment.CopyFrom(stored.segment)
    segment.size_bytes, segment.sha256 = file.size, file.sha256
    segment.record_sha256 = file_facts(Path(stored.record_path)).sha256
    with open_own(Path(stored.path)) as opened:
        segment.header_sha256 = hashlib.sha256(opened.read(segment.header_bytes)).hexdigest()
    return segment
