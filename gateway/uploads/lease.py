"""Who may send an upload's bytes: one at a time, whichever gateway it comes through."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

from framewire.db.uploads import UploadStore
from framewire.errors import Conflict, ErrorCode, FramewireError, Unavailable
from framewire.lifecycle import end


@dataclass(frozen=True, slots=True)
class Lease:
    """What the sender of an upload holds."""

    uploads: UploadStore
    asset_id: str
    writer: str

    async def keep(self, seconds: float) -> bool:
        """Hold it for so long from now on. False when it is somebody else's by now. Raises Unavailable."""
        return await self.uploads.hold(self.asset_id, self.writer, seconds)


@contextlib.asynccontextmanager
async def held(uploads: UploadStore, asset_id: str, seconds: float) -> AsyncIterator[Lease]:
    """Be the only sender inside the block, renewed as long as it runs.

    Raises Conflict (UPLOAD_BUSY) at once while there is another. A block whose lease cannot be renewed in time is cut:
    Unavailable (UPLOAD_BUSY).
    """
    writer = secrets.token_hex(8)
    lease = Lease(uploads, asset_id, writer)
    if not await lease.keep(seconds):
        raise _busy()
    try:
        async with asyncio.timeout(seconds) as bound:
            renewing = asyncio.create_task(_renew(lease, seconds, bound))
            try:
                yield lease
            finally:
                await end(renewing)
    except TimeoutError:
        if not bound.expired():
            raise
        raise Unavailable("the upload is no longer this gateway's; go on with it", code=ErrorCode.UPLOAD_BUSY) from None
    finally:
        with contextlib.suppress(FramewireError):
            await asyncio.shield(uploads.let_go(asset_id, writer))


async def _renew(lease: Lease, seconds: float, bound: asyncio.Timeout) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(seconds / 4)
        asked = loop.time()
        with contextlib.suppress(FramewireError):  # a database that is away has until the lease is over
            if not await lease.keep(seconds):
                bound.reschedule(loop.time())
                return
            bound.reschedule(asked + seconds)


def _busy() -> FramewireError:
    return Conflict("somebody else is sending this upload; try again soon", code=ErrorCode.UPLOAD_BUSY, retryable=True)
