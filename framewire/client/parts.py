"""A large file to the store, part by part. What broke off goes on with the parts that are not there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from framewire.client.transfer import Advance, nobody, put_range
from framewire.v1.asset_pb2 import SignedPart, SignUploadPartsResponse

AT_ONCE = 3

Sign = Callable[[], Awaitable[SignUploadPartsResponse]]
"""Asks the server what is there, and for URLs for what is not."""


class PartSender:
    """Sends one file's parts, a few at a time."""

    def __init__(self, path: Path, size: int, sign: Sign, advance: Advance = nobody) -> None:
        self._path = path
        self._size = size
        self._sign = sign
        self._advance = advance
        self.stored = 0
        """Bytes the server said are there, when it was last asked."""
        self._moving: dict[int, int] = {}

    async def send(self) -> None:
        """Send what is missing. Call it again after an error: what is there already is not sent again.

        Raises Unavailable (STORE_UNAVAILABLE).
        """
        while True:
            answer = await self._sign()
            self._moving.clear()
            self.stored = sum(part.size_bytes for part in answer.upload.parts)
            if not answer.parts:
                return
            self._tell()
            await self._send_all(list(answer.parts), answer.upload.multipart.part_size)

    async def _send_all(self, parts: list[SignedPart], part_size: int) -> None:
        waiting = iter(parts)

        async def some() -> None:
            for part in waiting:  # one iterator for all: each part is one task's
                await self._send_one(part, (part.number - 1) * part_size)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(AT_ONCE, len(parts))):
                    group.create_task(some())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the connection broke, for all of them

    async def _send_one(self, part: SignedPart, start: int) -> None:
        def advance(done: int, total: int) -> None:
            self._moving[part.number] = done
            self._tell()

        await put_range(part.upload, self._path, start, part.size_bytes, advance)

    def _tell(self) -> None:
        self._advance(min(self._size, self.stored + sum(self._moving.values())), self._size)
