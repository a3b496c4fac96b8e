"""A message on its way to many: encoded once per wire, not once per receiver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

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


def shared(item: Message | Shared[Message]) -> Shared[Message]:
    """The item, wrapped unless it is already."""
    return item if isinstance(item, Shared) else Shared(item)
