"""Wires between an actor and the servers. An actor is a coroutine that stops at points; a fault strikes at a point."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any


class Dead(BaseException):
    """The process this code ran in was killed: nothing it would still say reaches anybody."""


class Point:
    """Where an actor stops until the scheduler lets it go on, or throws a fault into it."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __await__(self) -> Generator[str, None, None]:
        yield self.what


class Wire:
    """One actor's connections. Once `cut`, calls reach nothing: so it is with a process that was killed."""

    def __init__(self) -> None:
        self.cut = False

    async def cross(self, what: str, call: Awaitable[Any]) -> Any:
        """A call with a point before it reaches the server and one before its answer comes back."""
        try:
            await self.point(f"ask {what}")
        except BaseException:
            getattr(call, "close", lambda: None)()
            raise
        answer = await call
        await self.point(f"answer {what}")
        return answer

    async def point(self, what: str) -> None:
        """Stop here."""
        if self.cut:
            raise Dead
        await Point(what)
        if self.cut:
            raise Dead


class Proxy:
    """A server's seam as seen through a wire."""

    def __init__(self, wire: Wire, target: Any, name: str) -> None:
        self._wire, self._target, self._name = wire, target, name

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._target, method)
        if not callable(call):
            return call
        what = f"{self._name}.{method}"

        async def crossing(*args: Any, **kwargs: Any) -> Any:
            return await self._wire.cross(what, call(*args, **kwargs))

        self.__dict__[method] = crossing
        return crossing


class BusProxy:
    """The bus through a wire."""

    def __init__(self, wire: Wire, bus: Any) -> None:
        self.jobs = Proxy(wire, bus.jobs, "queue")
        self.events = Proxy(wire, bus.events, "log")
        self.cancellations = Proxy(wire, bus.cancellations, "cancellations")
        self.workers = Proxy(wire, bus.workers, "workers")
        self.dead_letters = Proxy(wire, bus.dead_letters, "dead letters")
