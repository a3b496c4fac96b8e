"""Files between the object store and a job's folder, checked on the way."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import logging
import mimetypes
import os
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coordinator.worker.patience import patiently
from framewire.errors import ErrorCode, MediaError, Unavailable, WorkerError
from framewire.storage.interface import ObjectStore
from framewire.work.v1.work_pb2 import InputFile

log = logging.getLogger(__name__)

DISCARD_LIMIT: Final = 4.0
"""Seconds to wait for an upload nobody wants any more, and again for its deletion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What a file's bytes are."""

    size: int
    sha256: str
    """Lower-case hexadecimal."""


class Transfer:
    """Fetches and stores whole files; repeats while the store is away."""

    def __init__(self, store: ObjectStore, *, patience: float, limit: float) -> None:
        """`patience`: seconds the store may be away. `limit`: seconds one file may take."""
        self._store = store
        self._patience = patience
        self._limit = limit
        self._uploads: dict[str, asyncio.Future[None]] = {}

    async def fetch(self, file: InputFile, path: Path) -> None:
        """Write an input to `path`. Raises MediaError (UPLOAD_*_MISMATCH) when it is not what was declared."""
        await self._patiently(lambda: self._store.get_file(file.object_key, path))
        check(file, await asyncio.to_thread(file_facts, path))

    async def get(self, key: str, path: Path) -> None:
        """Write an object to `path` as it is. Raises NotFound (OBJECT_NOT_FOUND)."""
        await self._patiently(lambda: self._store.get_file(key, path))

    async def store(self, key: str, path: Path, *, patience: float | None = None) -> None:
        """Store a file for as long as nobody calls `discard`; `patience` other than for everything else.

        When the caller is cancelled the upload goes on, as threads do: `discard` waits for it.
        """
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        upload = asyncio.ensure_future(
            self._patiently(lambda: self._store.put_file(key, path, content_type=content_type), patience)
        )
        self._uploads[key] = upload
        await asyncio.shield(upload)

    def keep(self, *keys: str) -> None:
        """What was stored there counts: nothing will discard it."""
        for key in keys:
            self._uploads.pop(key, None)

    async def discard(self, *prefixes: str) -> bool:
        """Delete what was stored below these and does not count. Returns whether it is certain that none is left."""
        begun = [key for key in self._uploads if key.startswith(prefixes)]
        return all(await asyncio.gather(*map(self._discard, begun)))

    async def delete(self, key: str) -> bool:
        """Delete an object, within a bound; returns whether it is gone."""
        try:
            await patiently(lambda: self._store.delete(key), patience=DISCARD_LIMIT, code=ErrorCode.STORE_UNAVAILABLE)
        except Unavailable as error:
            log.warning("%s may be left in the store: %s", key, error.message)
            return False
        return True

    async def _discard(self, key: str) -> bool:
        ended = await _ended(self._uploads.pop(key))
        return await self.delete(key) and ended

    async def _patiently(self, call: Callable[[], Awaitable[None]], patience: float | None = None) -> None:
        await patiently(
            call,
            patience=self._patience if patience is None else patience,
            limit=self._limit,
            code=ErrorCode.STORE_UNAVAILABLE,
        )


async def _ended(upload: asyncio.Future[None]) -> bool:
    """Whether an upload is over, waiting for it within a bound; how it went is of no interest."""
    await asyncio.wait({upload}, timeout=DISCARD_LIMIT)
    if upload.done():
        if not upload.cancelled():
            upload.exception()
        return True
    upload.cancel()
    return False


def check(file: InputFile, facts: FileFacts) -> None:
    """Raise MediaError unless the bytes are the declared ones. Nothing is declared by 0 or an empty hash."""
    if file.size_bytes and facts.size != file.size_bytes:
        raise MediaError(
            f"{file.filename} has {facts.size} bytes instead of {file.size_bytes}: upload it again",
            code=ErrorCode.UPLOAD_SIZE_MISMATCH,
        )
    if file.sha256 and facts.sha256 != file.sha256:
        raise MediaError(
            f"{file.filename} has changed since it was uploaded: upload it again", code=ErrorCode.UPLOAD_HASH_MISMATCH
        )


def open_own(path: Path) -> io.BufferedReader:
    """A file of this worker or its runner, to be read: never what a link of that name leads to, nor a pipe.

    Raises WorkerError (RUNNER_CRASHED) for those, and OSError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_a_file(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_file(path)
    return os.fdopen(descriptor, "rb")


def _not_a_file(path: Path) -> WorkerError:
    return WorkerError(f"the runner left something else than a file as {path.name}", code=ErrorCode.RUNNER_CRASHED)


def file_facts(path: Path) -> FileFacts:
    """Size and hash of a file. Blocking. Raises WorkerError (RUNNER_CRASHED, retryable) when there is none."""
    try:
        with open_own(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return FileFacts(size=file.tell(), sha256=digest)
    except FileNotFoundError:
        raise WorkerError(f"there is no file {path.name}", code=ErrorCode.RUNNER_CRASHED, retryable=True) from None
