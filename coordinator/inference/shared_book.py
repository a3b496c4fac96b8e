"""The book of one model server, which several workers read and write."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, TypeVar

from coordinator.inference.control import ModelControl
from framewire.bus.interface import BookConflict, ModelBooks
from framewire.errors import ErrorCode, Unavailable
from framewire.work.v1.work_pb2 import ModelBook

_TRIES: Final = 100
_T = TypeVar("_T")


class SharedBook:
    """Everything raises Unavailable while the bus, or a model server that was never asked for its name, is away."""

    def __init__(self, control: ModelControl, books: ModelBooks) -> None:
        self._control = control
        self._books = books
        self._server = ""

    @property
    def used(self) -> bool:
        """Whether it is known which server's book this is: nobody can have written into it before."""
        return bool(self._server)

    async def read(self) -> tuple[ModelBook, int]:
        """What it says, and the number of its newest edition."""
        if not self._server:
            self._server = await asyncio.to_thread(self._control.identity)
        return await self._books.read(self._server)

    async def edit(self, edit: Callable[[ModelBook], _T]) -> _T:
        """Change it; returns what `edit` returns, which is called again when somebody else was quicker."""
        return (await self.edit_numbered(edit))[0]

    async def edit_numbered(self, edit: Callable[[ModelBook], _T]) -> tuple[_T, int]:
        """The same, with the number of the edition that came of it."""
        for _ in range(_TRIES):
            book, number = await self.read()
            before = book.SerializeToString(deterministic=True)
            result = edit(book)
            if book.SerializeToString(deterministic=True) == before:
                return result, number
            with contextlib.suppress(BookConflict):
                return result, await self._books.write(self._server, book, after=number)
        raise Unavailable("the book of models is changed all the time", code=ErrorCode.BUS_UNAVAILABLE)

    async def changed(self, *, after: int, wait: float) -> None:
        """Return when there is an edition newer than `after`, or after `wait` seconds."""
        await self._books.changed(self._server, after=after, wait=wait)
