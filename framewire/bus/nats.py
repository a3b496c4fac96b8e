"""The bus on NATS JetStream: `await NatsBus.connect(NatsSettings(url="nats://127.0.0.1:4222"))`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from dataclasses import dataclass, field

import nats
import nats.errors
from nats.aio.client import Client

from framewire.bus.boards import NatsCancellations, NatsControls, NatsWorkers
from framewire.bus.books import NatsModelBooks
from framewire.bus.connection import Connection, unavailable_as_typed
from framewire.bus.dead import NatsDeadLetters
from framewire.bus.events import NatsEventLog
from framewire.bus.jobs import NatsJobQueue
from framewire.bus.streams import StreamSettings, ensure_streams
from framewire.errors import ErrorCode, Unavailable
from framewire.jobs.ranking import AGEING_SECONDS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsSettings:
    """Where NATS is and how to keep streams there."""

    url: str = field(repr=False)
    """One address or several, separated by commas."""
    name: str = "framewire"
    """What the server calls this connection."""
    connect_timeout: float = 10.0
    """Seconds to wait for the first connection; afterwards it is looked for again for ever."""
    ageing: float = AGEING_SECONDS
    """Seconds of waiting that make up for one step of priority when jobs are pulled."""
    streams: StreamSettings = field(default_factory=StreamSettings)


class NatsBus:
    """All seams of the bus over one connection."""

    def __init__(self, connection: Connection, *, ageing: float = AGEING_SECONDS) -> None:
        self._connection = connection
        self.dead_letters = NatsDeadLetters(connection)
        self.jobs = NatsJobQueue(connection, self.dead_letters, ageing=ageing)
        self.events = NatsEventLog(connection)
        self.cancellations = NatsCancellations(connection)
        self.workers = NatsWorkers(connection)
        self.controls = NatsControls(connection)
        self.models = NatsModelBooks(connection)

    @classmethod
    async def connect(cls, settings: NatsSettings) -> NatsBus:
        """Connect and make sure the streams exist. Raises Unavailable when no server answers in time."""
        client = Client()
        connection = Connection(client, lambda: ensure_streams(client, settings.streams))
        try:
            async with asyncio.timeout(settings.connect_timeout):
                await client.connect(
                    servers=settings.url.split(","),
                    name=settings.name,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.25,  # type: ignore[arg-type]  # declared int, used as seconds
                    ping_interval=5,
                    max_outstanding_pings=2,
                    error_cb=connection.on_error,
                    disconnected_cb=connection.on_disconnect,
                    reconnected_cb=connection.on_reconnect,
                    closed_cb=connection.on_closed,
                )
                with unavailable_as_typed():
                    await ensure_streams(client, settings.streams)
        except BaseException as error:
            with contextlib.suppress(Exception):
                await connection.close()
            if isinstance(error, TimeoutError | OSError | nats.errors.Error):
                where = without_credentials(settings.url)
                raise Unavailable(f"no NATS server answers at {where}", code=ErrorCode.BUS_UNAVAILABLE) from error
            raise
        return cls(connection, ageing=settings.ageing)

    @property
    def lost(self) -> asyncio.Event:
        """Set when no server will ever answer this bus again: its process can only end and be started anew."""
        return self._connection.lost

    async def ping(self) -> None:
        """Raise Unavailable unless JetStream answers."""
        with unavailable_as_typed():
            await self._connection.js.account_info()

    async def close(self) -> None:
        """Flush and disconnect, within a bound. Idempotent."""
        await self.jobs.close()
        await self._connection.close()


def without_credentials(url: str) -> str:
    """A URL, or several separated by commas, fit for logs and messages."""
    return re.sub(r"//[^@/,]*@", "//", url)
