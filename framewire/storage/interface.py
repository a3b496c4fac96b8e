"""The object store as Framewire uses it. Optional capabilities are Protocols of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """An object's key and size in bytes."""

    key: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """An HTTP request somebody without credentials may make until `expires`."""

    method: str
    url: str
    expires: datetime
    headers: Mapping[str, str] = field(default_factory=dict)


class ObjectStore(Protocol):
    """Whole objects by key. A key that is written becomes visible at once and completely, or not at all.

    Every method raises `Unavailable` (STORE_UNAVAILABLE) when the store does not answer, and the
    reading ones `NotFound` (OBJECT_NOT_FOUND) when there is no such object.
    """

    async def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        """Store a local file's bytes, replacing what was there."""

    async def get_file(self, key: str, path: Path) -> None:
        """Write an object's bytes to a local file. The file exists only when it is complete."""

    def read(self, key: str) -> AsyncIterator[bytes]:
        """An object's bytes in order, in pieces of bounded size."""

    async def head(self, key: str) -> ObjectInfo | None:
        """Size of an object, None when there is none."""

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Objects whose key starts with `prefix`, in the order of their keys."""

    async def copy(self, source: str, target: str) -> None:
        """Make `target` the same bytes as `source` is now, within the store, replacing what was there."""

    async def delete(self, key: str) -> None:
        """Delete an object. Deleting what is not there is not an error."""

    async def delete_below(self, prefix: str) -> None:
        """Delete every object whose key starts with `prefix`, which ends in `/`. What is written meanwhile may stay.

        Raises ValueError for any other prefix.
        """

    async def close(self) -> None:
        """Give back connections and threads. Idempotent."""


@runtime_checkable
class PresignsUrls(Protocol):
    """A store that lets others read and write single objects over plain HTTP for a while."""

    async def presign_put(self, key: str, *, ttl: float, content_type: str, size: int | None = None) -> SignedRequest:
        """A request that stores its body under `key`. `ttl` in seconds.

        With a size, a body of another length is refused.
        """

    async def presign_get(self, key: str, *, ttl: float, filename: str) -> SignedRequest:
        """A request that reads `key` and that browsers save under `filename`. `ttl` in seconds."""


def checked_prefix(prefix: str) -> str:
    """The prefix as it is. Raises ValueError for one that is not a folder's: it would name more than was meant."""
    if not prefix.strip("/") or not prefix.endswith("/"):
        raise ValueError(f"{prefix!r} is no prefix of keys that may be deleted together")
    return prefix
