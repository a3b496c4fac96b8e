"""Objects that are sent in parts, as S3's multipart upload does it: a capability not every store has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from framewire.storage.interface import ObjectStore, SignedRequest

LEAST_PART = 5 << 20
"""Bytes of every part but the last, by S3's own rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that the store has."""

    number: int
    """From 1 on."""
    size: int
    tag: str
    """What the store calls these bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A multipart upload that was begun, and neither joined nor aborted."""

    key: str
    upload_id: str
    begun: datetime


@runtime_checkable
class StoresParts(Protocol):
    """Parts are kept apart from objects, seen by nobody, until they are joined into one or aborted.

    Every method raises `Unavailable` (STORE_UNAVAILABLE) when the store does not answer; those that need an upload
    raise `NotFound` (OBJECT_NOT_FOUND) for one that was joined, aborted or never begun.
    """

    async def put_bytes(self, key: str, data: bytes | bytearray) -> None:
        """Store a small object from memory, replacing what was there."""

    async def begin_parts(self, key: str) -> str:
        """Begin a multipart upload of `key`; returns the upload's id, which the store chooses."""

    async def put_part(self, key: str, upload_id: str, number: int, data: bytes | bytearray) -> None:
        """Store a part. All but the last have LEAST_PART bytes or more.

        Where there is one of this number, the same bytes change nothing. Others replace it on S3; a store that has
        passed the part on already refuses them (Unavailable).
        """

    async def presign_part(self, key: str, upload_id: str, number: int, *, size: int, ttl: float) -> SignedRequest:
        """A request that stores its body as a part. A body of another length than `size` is refused."""

    async def parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """The parts that are there, by number."""

    async def join_parts(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Make these parts, in order, the object `key`. The upload is over."""

    async def abort_parts(self, key: str, upload_id: str) -> None:
        """Forget the upload and its parts. Aborting what is not there is not an error."""

    def unfinished_parts(self, prefix: str) -> AsyncIterator[Unfinished]:
        """Every upload under way whose key starts with `prefix`."""


class PartStore(ObjectStore, StoresParts, Protocol):
    """A store of objects that may be sent in parts."""
