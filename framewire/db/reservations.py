"""What a job costs, held when it enters the queue and settled when it ends: the seam for credits to come.

Both calls run inside the transaction that makes or ends the job, so that jobs and what is paid for them cannot come
apart. Nothing is charged yet: `FreeOfCharge` is what is used.
"""

from __future__ import annotations

from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from framewire.v1.job_pb2 import JobState
from framewire.work.v1.work_pb2 import JobOrder


class Reservations(Protocol):
    """Holds and settles."""

    async def reserve(self, connection: AsyncConnection, order: JobOrder) -> None:
        """Hold what the job may cost. A FramewireError refuses the job, and nothing of it is stored."""

    async def settle(self, connection: AsyncConnection, order: JobOrder, state: JobState.ValueType) -> None:
        """The job has ended in `state`: take what was held, or give it back.

        Called once for every `reserve`, however often the ending is delivered. A FAILED job that is retried is
        reserved again first.
        """


class FreeOfCharge:
    """Everything costs nothing."""

    async def reserve(self, connection: AsyncConnection, order: JobOrder) -> None:
        """Nothing is held."""

    async def settle(self, connection: AsyncConnection, order: JobOrder, state: JobState.ValueType) -> None:
        """Nothing is due."""
