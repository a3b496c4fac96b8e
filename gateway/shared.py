"""A message on its way to many: encoded once per wire, not once per receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from google.protobuf.message import Message

_M = TypeVar("_M", bound=Message)


class Shared(Generic[_M]):
    """A message that is no longer changed, and its bytes on each wire that asked for them."""

    __slots__ = ("_encoded", "message")

    def __init__(self, message: _M) -> None:
        self.message = message
        self._encoded: dict[str, bytes] = {}

    def encoded(self, wire: str, encode: Callable[[Message], bytes]) -> bytes:
        """What `encode` makes of the message; it is called once for each name of a wire."""
        found = self._encoded.get(wire)
        if found is None:
            found = self._encoded[wire] = encode(self.message)
        return found


Offer = Callable[[Shared[Any]], bool]
"""Takes a message to its receiver without waiting, or refuses it."""


class Messages(Protocol):
    """Messages to one receiver, read one after the other. Close it."""

    def __aiter__(self) -> AsyncIterator[Shared[Any]]: ...

    async def __anext__(self) -> Shared[Any]:
        """The next one. Raises FramewireError."""

    async def aclose(self) -> None:
        """No more are wanted. Idempotent."""


@runtime_checkable
class Pushing(Protocol):
    """Messages that may come by themselves, too: no task has to wake for each of them."""

    async def pushed(self, offer: Offer) -> None:
        """Offer every message as it comes, for as long as they are taken.

        Returns when one was refused, when the receiver is behind, or when none will come; then go on reading: the one
        that was refused is the next. `offer` is not called any more then.
        """


def shared(item: Message | Shared[Message]) -> Shared[Message]:
    """The item, wrapped unless it is already."""
    return item if isinstance(item, Shared) else Shared(item)
