"""Whether the bytes that arrived are the bytes that were declared, and of a kind that is taken."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ulid import ULID

from framewire.db.rows import StoredAsset
from framewire.errors import Conflict, ErrorCode, FramewireError, Unavailable
from framewire.storage.interface import PresignsUrls
from framewire.storage.keys import asset_key, upload_key
from framewire.storage.parts import PartStore
from framewire.v1.asset_pb2 import MediaInfo
from gateway.uploads.kinds import LOOKED_AT, kind_of
from gateway.uploads.probe import Probe
from gateway.uploads.settings import UploadSettings

TEMPORARY = "framewire-upload-"
"""What the names of files begin with that `UploadChecker.sweep` deletes when they are old."""


class SigningStore(PartStore, PresignsUrls, Protocol):
    """A store that clients can reach through signed URLs: what the gateway needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Checked bytes, in a place no signed URL can write to."""

    object_key: str
    sha256: str
    """In lower-case hexadecimal."""
    media: MediaInfo | None
    """What is inside; None when nobody looked."""


@dataclass(slots=True)
class _Reading:
    """One pass over the bytes."""

    write: Callable[[bytes], object] | None
    stored: StoredAsset
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    size: int = 0
    head: bytes = b""

    def take(self, piece: bytes) -> None:
        """Blocks: call it in a thread. Writes no more than was declared: raises Conflict (UPLOAD_SIZE_MISMATCH)."""
        self.size += len(piece)
        if self.size > self.stored.asset.size_bytes:
            _check_size(self.stored, self.size)
        self.digest.update(piece)
        self.head = self.head or piece[:LOOKED_AT]
        if self.write is not None:
            self.write(piece)


class UploadChecker:
    """Takes finished uploads out of their clients' reach, reads them once, a few at a time, and looks into them."""

    def __init__(
        self,
        store: PartStore,
        settings: UploadSettings | None = None,
        probe: Probe | None = None,
        *,
        timeout: float = 600.0,
    ) -> None:
        self._store = store
        self._settings = settings or UploadSettings()
        self._probe = probe
        self._places = asyncio.Semaphore(self._settings.checks_at_once)
        self._timeout = timeout

    async def accept(self, stored: StoredAsset) -> Accepted:
        """A copy of the upload that is what was declared. `discard` it when it is not wanted after all.

        Raises Conflict: UPLOAD_MISSING; UPLOAD_SIZE_MISMATCH, UPLOAD_HASH_MISMATCH, UPLOAD_TYPE_UNSUPPORTED; MediaError
        for a file nothing can be done with. Raises Unavailable: DEADLINE_EXCEEDED when reading takes too long,
        PROBE_UNAVAILABLE.
        """
        try:
            async with asyncio.timeout(self._timeout), self._places:
                return await self._accept(stored)
        except TimeoutError:
            raise Unavailable("the upload could not be read in time", code=ErrorCode.DEADLINE_EXCEEDED) from None

    async def discard(self, accepted: Accepted) -> None:
        """Forget a copy."""
        await self._store.delete(accepted.object_key)

    def sweep(self) -> None:
        """Delete what gateways that died have left in the folder for temporary files. Blocks: call it in a thread."""
        folder = Path(self._settings.scratch or tempfile.gettempdir())
        for path in folder.glob(f"{TEMPORARY}*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > 2 * self._timeout:
                    path.unlink()

    async def _accept(self, stored: StoredAsset) -> Accepted:
        asset = stored.asset
        sent = upload_key(asset.workspace_id, asset.asset_id)
        found = await self._store.head(sent)
        if found is None:
            raise Conflict("no bytes were uploaded; send them to the upload URL first", code=ErrorCode.UPLOAD_MISSING)
        key = asset_key(asset.workspace_id, asset.asset_id, str(ULID()).lower())
        _check_size(stored, found.size)
        try:
            await self._store.copy(sent, key)
            sha256, media = await self._look(stored, key)
        except BaseException:
            await asyncio.shield(self._store.delete(key))
            raise
        return Accepted(object_key=key, sha256=sha256, media=media)

    async def _look(self, stored: StoredAsset, key: str) -> tuple[str, MediaInfo | None]:
        with self._file() as path:
            with _writing(path) as write:
                reading = _Reading(write, stored)
                async for piece in self._store.read(key):
                    await asyncio.to_thread(reading.take, piece)
            _check_size(stored, reading.size)  # it may have been replaced before it was copied
            sha256 = reading.digest.hexdigest()
            _check_hash(stored, sha256)
            kind = self._check_kind(reading.head)
            media = await self._probe(path, kind) if self._probe is not None and path is not None and kind else None
        return sha256, media

    def _check_kind(self, head: bytes) -> str | None:
        kind = kind_of(head)
        if self._settings.kinds and kind not in self._settings.kinds:
            taken = ", ".join(sorted(self._settings.kinds))
            raise Conflict(f"what was uploaded is none of {taken}", code=ErrorCode.UPLOAD_TYPE_UNSUPPORTED)
        return kind

    @contextlib.contextmanager
    def _file(self) -> Iterator[Path | None]:
        """A file for the probe to look into; None where there is no probe."""
        if self._probe is None:
            yield None
            return
        descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, dir=self._settings.scratch)
        os.close(descriptor)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(path: Path | None) -> Iterator[Callable[[bytes], object] | None]:
    if path is None:
        yield None
        return
    with path.open("wb") as file:
        yield file.write


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
