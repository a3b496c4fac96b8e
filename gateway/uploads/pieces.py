"""Bytes on their way in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from framewire.errors import ErrorCode, Unavailable

_Piece = TypeVar("_Piece")


async def bounded(pieces: AsyncIterator[_Piece], stall: float) -> AsyncIterator[_Piece]:
    """The pieces, none of which may take longer than `stall` seconds. Raises Unavailable (DEADLINE_EXCEEDED)."""
    while True:
        try:
            async with asyncio.timeout(stall):
                piece = await anext(pieces, None)
        except TimeoutError:
            message = f"no byte came for {stall:g} s; go on with the upload"
            raise Unavailable(message, code=ErrorCode.DEADLINE_EXCEEDED) from None
        if piece is None:
            return
        yield piece
