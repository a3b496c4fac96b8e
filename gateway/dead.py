"""Dead letters: orders that no worker will take again, and the way back."""

from __future__ import annotations

from collections.abc import Sequence

from framewire.bus import interface
from framewire.bus.interface import DeadLetters
from framewire.db.jobs import JobStore
from framewire.db.rows import timestamp
from framewire.errors import Conflict, ErrorCode, NotFound
from framewire.jobs.states import FINAL, state_name
from framewire.steps import catalogue
from framewire.v1.job_pb2 import JOB_STATE_FAILED, Job
from framewire.v1.operations_pb2 import DeadLetter


class DeadLetterOffice:
    """Reads the letters and puts their jobs back. Raises NotFound (DEAD_LETTER_NOT_FOUND)."""

    def __init__(self, letters: DeadLetters, jobs: JobStore) -> None:
        self._letters = letters
        self._jobs = jobs

    async def list(self, *, after: str, limit: int) -> Sequence[DeadLetter]:
        """Up to `limit` letters with numbers above `after`, oldest first, without their histories."""
        letters = await self._letters.list(after=int(after or 0), limit=limit)
        shown = [_shown(letter) for letter in letters]
        for letter in shown:
            letter.ClearField("history")
            letter.ClearField("raw")
        return shown

    async def get(self, number: int) -> DeadLetter:
        """One letter."""
        return _shown(await self._find(number))

    async def redrive(self, number: int) -> Job:
        """Queue the letter's job again, then drop the letter.

        A FAILED job is retried. One that never ended lost its order: it is sent once more, which changes nothing when
        the queue has it after all. Raises Conflict (DEAD_LETTER_UNUSABLE), NotFound (JOB_NOT_FOUND).
        """
        letter = await self._find(number)
        if not letter.job_id.startswith("job_"):
            raise Conflict("this letter names no job; drop it", code=ErrorCode.DEAD_LETTER_UNUSABLE)
        job = await self._jobs.republish(letter.job_id)
        if job.state in FINAL:
            message = f"{job.job_id} is {state_name(job.state)} and will not run again; drop the letter"
            raise Conflict(message, code=ErrorCode.DEAD_LETTER_UNUSABLE)
        if job.state == JOB_STATE_FAILED:
            job = await self._jobs.retry(
                job.workspace_id, job.job_id, attempts=lambda order: catalogue.attempts_of(order.steps)
            )
        await self._letters.drop(number)
        return job

    async def drop(self, number: int) -> None:
        """Forget a letter."""
        await self._find(number)
        await self._letters.drop(number)

    async def _find(self, number: int) -> interface.DeadLetter:
        letter = await self._letters.get(number)
        if letter is None:
            raise NotFound(f"there is no dead letter {number}", code=ErrorCode.DEAD_LETTER_NOT_FOUND)
        return letter


def _shown(letter: interface.DeadLetter) -> DeadLetter:
    return DeadLetter(
        number=letter.number,
        job_id=letter.job_id,
        workspace_id=letter.order.workspace_id if letter.order else "",
        reason=letter.reason,
        time=timestamp(letter.time),
        history=letter.history,
        raw=b"" if letter.order else letter.payload,
    )
