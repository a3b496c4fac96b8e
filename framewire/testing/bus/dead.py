"""Dead letters in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from framewire.bus.interface import DeadLetter
from framewire.work.v1.work_pb2 import JobOrder


class MemoryDeadLetters:
    """A dict by number; a job's new letter replaces the old one."""

    def __init__(self) -> None:
        self._letters: dict[int, DeadLetter] = {}
        self._count = 0

    async def bury(self, order: JobOrder, reason: str, history: Sequence[str] = ()) -> None:
        """Add or replace the job's letter."""
        self._letters = {n: letter for n, letter in self._letters.items() if letter.job_id != order.job_id}
        self._count += 1
        self._letters[self._count] = DeadLetter(
            number=self._count,
            job_id=order.job_id,
            reason=" ".join(reason.split()),
            time=datetime.now(UTC),
            order=JobOrder.FromString(order.SerializeToString()),
            payload=order.SerializeToString(),
            history=tuple(history),
        )

    async def list(self, *, after: int = 0, limit: int = 100) -> Sequence[DeadLetter]:
        """Letters above `after`, oldest first."""
        return [letter for number, letter in self._letters.items() if number > after][:limit]

    async def get(self, number: int) -> DeadLetter | None:
        """One letter."""
        return self._letters.get(number)

    async def drop(self, number: int) -> None:
        """Remove a letter."""
        self._letters.pop(number, None)
