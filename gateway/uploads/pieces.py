"""Bytes on their way in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar, cast

from framewire.errors import ErrorCode, Unavailable

_Piece = TypeVar("_Piece")


async def bounded(pieces: AsyncIterator[_Piece], stall: float, *, slowest: float = 0.0) -> AsyncIterator[_Piece]:
    """The pieces, none of which may take longer than `stall` seconds. Raises Unavailable (DEADLINE_EXCEEDED).

    With `slowest`, pieces are bytes, and so many a second have to come: a sender that drips would hold its place for
    ever. Only the time spent waiting for it counts.
    """
    loop = asyncio.get_running_loop()
    waited, came = 0.0, 0
    while True:
        begin = loop.time()
        try:
            async with asyncio.timeout(stall):
                piece = await anext(pieces, None)
        except TimeoutError:
            message = f"no byte came for {stall:g} s; go on with the upload"
            raise Unavailable(message, code=ErrorCode.DEADLINE_EXCEEDED) from None
        if piece is None:
            return
        waited += loop.time() - begin
        yield piece
        if slowest:
            came += len(cast("bytes", piece))
            if waited > stall:
                if came < slowest * waited:
                    message = f"fewer than {slowest:g} bytes a second came; go on with the upload"
                    raise Unavailable(message, code=ErrorCode.DEADLINE_EXCEEDED)
                waited, came = 0.0, 0
