"""Bytes that come with a checksum: nothing of them is kept unless all of them are right."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO

from framewire.errors import Conflict, ErrorCode, InvalidRequest
from gateway.uploads.pieces import bounded
from gateway.uploads.settings import UploadSettings

ALGORITHMS = ("sha256", "sha1", "md5")
"""Against damage on the way, not against anybody: the old ones are what the protocol asks for."""
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Checksum:
    """What bytes have to hash to."""

    algorithm: str
    digest: bytes

    @classmethod
    def parse(cls, header: str) -> Checksum | None:
        """`sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=`, as tus writes it; None when empty. Raises InvalidRequest."""
        if not header:
            return None
        algorithm, _, text = header.partition(" ")
        if algorithm not in ALGORITHMS:
            raise InvalidRequest(f"Upload-Checksum has to be one of {', '.join(ALGORITHMS)}")
        try:
            return cls(algorithm, base64.b64decode(text, validate=True))
        except binascii.Error:
            raise InvalidRequest("the value of Upload-Checksum is not base64") from None


@contextlib.asynccontextmanager
async def checked(
    pieces: AsyncIterator[bytes], checksum: Checksum | None, settings: UploadSettings, most: int
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The pieces as they come, without a checksum; with one, from a temporary file and not before it is right.

    Raises Conflict (UPLOAD_CHECKSUM_MISMATCH), InvalidRequest (UPLOAD_TOO_LARGE) for more than `most` bytes.
    """
    if checksum is None:
        yield pieces
        return
    with tempfile.TemporaryFile(dir=settings.scratch) as file:
        digest, size = hashlib.new(checksum.algorithm, usedforsecurity=False), 0
        async for piece in bounded(pieces, settings.stall, slowest=settings.slowest):
            size += len(piece)
            if size > most:
                raise InvalidRequest("more bytes than were declared", code=ErrorCode.UPLOAD_TOO_LARGE)
            await asyncio.to_thread(file.write, piece)
            digest.update(piece)
        if digest.digest() != checksum.digest:
            words = "the bytes do not match their checksum; nothing of them was kept, send them again"
            raise Conflict(words, code=ErrorCode.UPLOAD_CHECKSUM_MISMATCH)
        file.seek(0)
        yield _read(file)


async def _read(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece
