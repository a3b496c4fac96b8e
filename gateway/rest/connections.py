"""Connections, no more of them than there is room for."""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import web

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/json\r\nConnection: close\r\n"
_WORDS = (
    b'{"code":14,"message":"too many connections are open","details":[{"@type":"type.googleapis.com/'
    b'google.rpc.ErrorInfo","reason":"OVERLOADED","domain":"framewire","metadata":{"retryable":"true"}}]}'
)


class CappedSite(web.BaseSite):
    """A site on TCP that refuses connections beyond `most`, at once and with a reason."""

    def __init__(self, runner: web.BaseRunner, host: str, port: int, *, most: int) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._most = most

    @property
    def name(self) -> str:
        """As logs show it."""
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises OSError."""
        await super().start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, self._host, self._port, backlog=1024)

    def _connect(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner was not set up")
        if len(server.connections) >= self._most:
            return _Refusal()
        protocol: asyncio.Protocol = server()
        return protocol


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so and go."""
        transport = cast("asyncio.Transport", transport)
        transport.write(_BUSY + b"Content-Length: %d\r\n\r\n" % len(_WORDS) + _WORDS)
        transport.close()
