"""The books of model servers in memory."""

from __future__ import annotations

import time

from framewire.bus.interface import BookConflict
from framewire.testing.bus.changed import Changed
from framewire.work.v1.work_pb2 import ModelBook


class MemoryModelBooks:
    """A dict of books as bytes, each with its number."""

    def __init__(self) -> None:
        self._books: dict[str, tuple[bytes, int]] = {}
        self._changed = Changed()

    async def read(self, server: str) -> tuple[ModelBook, int]:
        """The book and its number."""
        data, number = self._books.get(server, (b"", 0))
        return ModelBook.FromString(data), number

    async def write(self, server: str, book: ModelBook, *, after: int) -> int:
        """Replace it if it is still number `after`."""
        if self._books.get(server, (b"", 0))[1] != after:
            raise BookConflict
        self._books[server] = (book.SerializeToString(), after + 1)
        self._changed.notify()
        return after + 1

    async def changed(self, server: str, *, after: int, wait: float) -> bool:
        """Whether it has another number by then."""
        until = time.monotonic() + wait
        while self._books.get(server, (b"", 0))[1] == after and (left := until - time.monotonic()) > 0:
            await self._changed.wait(left)
        return self._books.get(server, (b"", 0))[1] != after
