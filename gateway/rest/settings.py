"""What the HTTP port allows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Bounds of one connection, and who may come from where."""

    origins: tuple[str, ...] = ()
    """Origins whose pages may call (`https://app.example`); `*` is every page of every site."""
    hosts: tuple[str, ...] = ()
    """Names this port is reached by, beside those of this machine; `*` is any."""
    largest_body: int = 1 << 20
    """Bytes of a request; media never comes this way."""
    body_timeout: float = 30.0
    """Seconds in which a request's body has to arrive."""
    idle_timeout: float = 75.0
    """Seconds in which a connection has to send the whole head of its first, or its next, request."""
    connections: int = 5_000
    """Connections at once; who comes when they are taken gets 503 and is cut."""
