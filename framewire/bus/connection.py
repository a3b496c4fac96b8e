"""One NATS connection: errors in Framewire's words, requests the client library has no call for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from framewire.errors import ErrorCode, Unavailable
from framewire.lifecycle import end

log = logging.getLogger(__name__)

TIMEOUT = 3.0
"""Seconds one request to the servers may take; so long waits whoever lost the answer with the connection."""

_PAGE = 256
_RESTORE_AGAIN = 1.0
_END_OF_BATCH = "204"
_NOTHING_FOUND = "404"


class Connection:
    """A connected client, its JetStream context, and a sign for when it was lost and found again."""

    def __init__(self, client: Client, restore: Callable[[], Awaitable[None]]) -> None:
        """`restore` brings back what servers may have lost when they were; called after every reconnect."""
        self.client = client
        self.js = client.jetstream(timeout=TIMEOUT)
        self.reconnected = asyncio.Event()
        self.lost = asyncio.Event()
        """Set when the client library has given up for good, as it does when its credentials are taken away."""
        self._restore = restore
        self._restoring: asyncio.Task[None] | None = None
        self._lost = False
        self._closing = self._refused = False

    async def on_disconnect(self) -> None:
        """Say so once, unless it was meant or nothing was connected yet."""
        self._lost = self.client.is_reconnecting
        if self._lost:
            log.warning("NATS connection lost, looking for it again")

    async def on_reconnect(self) -> None:
        """Wake everybody who waits for `reconnected`; those who come later wait for the next time."""
        if self._lost:
            log.warning("NATS connection found again")
        self._refused = False
        await self.stop_restoring()
        self._restoring = asyncio.create_task(self._restore_until_done(), name="restore streams")
        self.reconnected.set()
        self.reconnected = asyncio.Event()

    async def on_error(self, error: Exception) -> None:
        """Note it; called for every try to connect. What matters is raised where it happens, but for a refusal."""
        if isinstance(error, nats.errors.AuthorizationError) or "authorization" in str(error).lower():
            if not self._refused:
                log.warning("NATS refuses who this process says it is; asking again")
            self._refused = True
        log.debug("NATS: %s", error or type(error).__name__)

    async def on_closed(self) -> None:
        """Say that nothing will come over this connection any more, unless it was closed on purpose."""
        if not self._closing:
            log.error("NATS refuses this process for good: %s", self.client.last_error or "no reason given")
            self.lost.set()

    async def close(self) -> None:
        """Flush and disconnect, within a bound. Idempotent."""
        self._closing = True
        await self.stop_restoring()
        if self.client.is_closed:
            return
        with contextlib.suppress(nats.errors.Error, TimeoutError):
            await self.client.flush(timeout=int(TIMEOUT))
        await self.client.close()

    async def stop_restoring(self) -> None:
        """Idempotent."""
        task, self._restoring = self._restoring, None
        if task is not None:
            await end(task)

    async def _restore_until_done(self) -> None:
        """Servers that were just started may not be ready for it: again until it works or the connection is lost."""
        while True:
            try:
                with unavailable_as_typed():
                    await self._restore()
            except Unavailable as error:
                log.warning("streams are not looked after yet: %s", error.message)
                await asyncio.sleep(_RESTORE_AGAIN)
            else:
                return

    async def direct_get(self, stream: str, request: dict[str, Any]) -> Msg | None:
        """One stored message, None when there is none. Served by any replica."""
        with unavailable_as_typed():
            message = await self.client.request(_direct(stream), json.dumps(request).encode(), timeout=TIMEOUT)
        if status_of(message) == _NOTHING_FOUND:
            return None
        _refuse_status(message)
        return message

    async def stored(self, stream: str, subject: str, *, after: int = 0) -> AsyncGenerator[Msg, None]:
        """Messages a stream holds on `subject`, which may have wildcards, above number `after`.

        Pages are read until one is empty: the server ends a page early when its bytes are many.
        """
        found = True
        while found:
            found = False
            page = self._page(stream, {"seq": after + 1, "next_by_subj": subject, "batch": _PAGE})
            async with contextlib.aclosing(page):
                async for message in page:
                    found, after = True, number_of(message)
                    yield message

    async def _page(self, stream: str, request: dict[str, Any]) -> AsyncGenerator[Msg, None]:
        inbox = self.client.new_inbox()
        with unavailable_as_typed():
            answers = await self.client.subscribe(inbox)
        try:
            with unavailable_as_typed():
                await self.client.publish(_direct(stream), json.dumps(request).encode(), reply=inbox)
            while True:
                with unavailable_as_typed():
                    message = await answers.next_msg(timeout=TIMEOUT)
                if status_of(message) in {_END_OF_BATCH, _NOTHING_FOUND}:
                    return
                _refuse_status(message)
                yield message
        finally:
            with contextlib.suppress(nats.errors.Error):
                await answers.unsubscribe()


def _direct(stream: str) -> str:
    return f"$JS.API.DIRECT.GET.{stream}"


def _refuse_status(message: Msg) -> None:
    if status := status_of(message):
        reason = (message.headers or {}).get("Description", "no reason given")
        raise Unavailable(f"NATS answered {status}: {reason}", code=ErrorCode.BUS_UNAVAILABLE)


def status_of(message: Msg) -> str:
    """The status a server put on a message of its own, empty for messages that carry data."""
    return str((message.headers or {}).get("Status", ""))


def number_of(message: Msg) -> int:
    """The stream sequence of a stored or republished message."""
    return int((message.headers or {})["Nats-Sequence"])


def number_before(message: Msg) -> int:
    """The stream sequence of the message before it on the same subject, 0 for the first."""
    return int((message.headers or {}).get("Nats-Last-Sequence", "0"))


def time_of(message: Msg) -> datetime:
    """When a stored message was stored, by the server's clock, in UTC."""
    return datetime.fromisoformat((message.headers or {})["Nats-Time-Stamp"])


@contextlib.contextmanager
def unavailable_as_typed() -> Iterator[None]:
    """Turn what the client library raises when the servers do not answer into Unavailable (BUS_UNAVAILABLE)."""
    try:
        yield
    except (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise Unavailable(f"NATS did not answer: {reason}", code=ErrorCode.BUS_UNAVAILABLE) from error
