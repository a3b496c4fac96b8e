"""Whether the bytes that arrived are the bytes that were declared. Nothing is decoded here."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Protocol

from ulid import ULID

from framewire.db.rows import StoredAsset
from framewire.errors import Conflict, ErrorCode, FramewireError, Unavailable
from framewire.storage.interface import ObjectStore, PresignsUrls
from framewire.storage.keys import asset_key


class SigningStore(ObjectStore, PresignsUrls, Protocol):
    """A store that clients can reach through signed URLs: what the gateway needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Checked bytes, in a place no signed URL can write to."""

    object_key: str
    sha256: str
    """In lower-case hexadecimal."""


class UploadChecker:
    """Takes finished uploads out of their clients' reach, reads them once, a few at a time, and hashes them."""

    def __init__(self, store: ObjectStore, *, at_once: int = 4, timeout: float = 600.0) -> None:
        self._store = store
        self._places = asyncio.Semaphore(at_once)
        self._timeout = timeout

    async def accept(self, stored: StoredAsset) -> Accepted:
        """A copy of the upload that is what was declared. `discard` it when it is not wanted after all.

        Raises Conflict: UPLOAD_MISSING; UPLOAD_SIZE_MISMATCH and UPLOAD_HASH_MISMATCH, after which the wrong
        bytes are gone and may be sent again. Raises Unavailable (DEADLINE_EXCEEDED) when reading takes too long.
        """
        try:
            async with asyncio.timeout(self._timeout), self._places:
                return await self._accept(stored)
        except TimeoutError:
            raise Unavailable("the upload could not be read in time", code=ErrorCode.DEADLINE_EXCEEDED) from None

    async def discard(self, accepted: Accepted) -> None:
        """Forget a copy."""
        await self._store.delete(accepted.object_key)

    async def _accept(self, stored: StoredAsset) -> Accepted:
        found = await self._store.head(stored.object_key)
        if found is None:
            raise Conflict("no bytes were uploaded; send them to the upload URL first", code=ErrorCode.UPLOAD_MISSING)
        key = asset_key(stored.asset.workspace_id, stored.asset.asset_id, str(ULID()).lower())
        try:
            _check_size(stored, found.size)
            await self._store.copy(stored.object_key, key)
            size, sha256 = await self._hash(key)
            _check_size(stored, size)  # it may have been replaced before it was copied
            _check_hash(stored, sha256)
        except Conflict:
            await self._store.delete(key)
            await self._store.delete(stored.object_key)
            raise
        except BaseException:
            await asyncio.shield(self._store.delete(key))
            raise
        return Accepted(object_key=key, sha256=sha256)

    async def _hash(self, key: str) -> tuple[int, str]:
        digest = hashlib.sha256()
        size = 0
        async for piece in self._store.read(key):
            await asyncio.to_thread(digest.update, piece)
            size += len(piece)
        return size, digest.hexdigest()


def _check_size(stored: StoredAsset, size: int) -> None:
    declared = stored.asset.size_bytes
    if size != declared:
        raise _mismatch(f"{size} bytes arrived, {declared} were declared", ErrorCode.UPLOAD_SIZE_MISMATCH)


def _check_hash(stored: StoredAsset, sha256: str) -> None:
    if stored.declared_sha256 not in {"", sha256}:
        message = f"the bytes hash to {sha256}, {stored.declared_sha256} was declared"
        raise _mismatch(message, ErrorCode.UPLOAD_HASH_MISMATCH)


def _mismatch(message: str, code: ErrorCode) -> FramewireError:
    return Conflict(f"{message}; they were discarded, send them again", code=code)
