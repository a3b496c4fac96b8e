"""Books of models: a key per model server in a bucket of JetStream, changed by compare-and-swap."""

from __future__ import annotations

import contextlib
import time

import nats.errors
from nats.js.errors import APIError

from framewire.bus import streams
from framewire.bus.connection import Connection, number_of, unavailable_as_typed
from framewire.bus.interface import BookConflict
from framewire.work.v1.work_pb2 import ModelBook

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_WRONG_SEQUENCE = 10071
_LOOK_AGAIN = 1.0
"""Seconds between looks at the book, should the word of a change get lost with a connection."""


class NatsModelBooks:
    """The number of a book is the stream sequence of its last change."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self, server: str) -> tuple[ModelBook, int]:
        """The book and its number."""
        stream, subject = streams.board_stream(streams.MODELS), _subject(server)
        message = await self._connection.direct_get(stream, {"last_by_subj": subject})
        return (ModelBook.FromString(message.data), number_of(message)) if message else (ModelBook(), 0)

    async def write(self, server: str, book: ModelBook, *, after: int) -> int:
        """Refused by the stream when the key has another number."""
        headers = {_EXPECTED: str(after)}
        with unavailable_as_typed():
            try:
                stored = await self._connection.js.publish(_subject(server), book.SerializeToString(), headers=headers)
            except APIError as error:
                if error.err_code == _WRONG_SEQUENCE:
                    raise BookConflict from error
                raise
        return stored.seq

    async def changed(self, server: str, *, after: int, wait: float) -> bool:
        """Listens, and looks every second besides."""
        with unavailable_as_typed():
            live = await self._connection.client.subscribe(_subject(server))
        until = time.monotonic() + wait
        try:
            while (await self.read(server))[1] == after:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                with unavailable_as_typed(), contextlib.suppress(nats.errors.TimeoutError):
                    await live.next_msg(timeout=min(left, _LOOK_AGAIN))
            return True
        finally:
            with contextlib.suppress(nats.errors.Error):
                await live.unsubscribe()


def _subject(server: str) -> str:
    return streams.board_subject(streams.MODELS, streams.board_key(server))
