"""Calls that are repeated while a server is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from framewire.errors import ErrorCode, Unavailable

T = TypeVar("T")

CALL_LIMIT: Final = 10.0
"""Seconds one bus call may take."""
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0


async def once(
    call: Callable[[], Awaitable[T]], *, limit: float = CALL_LIMIT, code: ErrorCode = ErrorCode.BUS_UNAVAILABLE
) -> T:
    """One call within `limit` seconds; one that takes longer raises Unavailable with `code`."""
    try:
        async with asyncio.timeout(limit):
            return await call()
    except TimeoutError:
        raise Unavailable(f"no answer within {limit:g} s", code=code) from None


async def patiently(
    call: Callable[[], Awaitable[T]],
    *,
    patience: float,
    limit: float = CALL_LIMIT,
    code: ErrorCode = ErrorCode.BUS_UNAVAILABLE,
) -> T:
    """Repeat a call that raises Unavailable, with growing pauses, for about `patience` seconds; then it is raised.

    The call must be harmless to repeat: an answer may have been lost after the call took effect.
    """
    give_up_at = time.monotonic() + patience
    pause = _FIRST_PAUSE
    while True:
        try:
            return await once(call, limit=limit, code=code)
        except Unavailable:
            if time.monotonic() + pause >= give_up_at:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
