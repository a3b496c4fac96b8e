"""The object store in memory."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from framewire.errors import ErrorCode, NotFound, Unavailable
from framewire.storage.interface import ObjectInfo, SignedRequest, checked_prefix
from framewire.storage.parts import LEAST_PART, Part, Unfinished

_PIECE = 1 << 20


@dataclass
class _Upload:
    key: str
    begun: datetime
    parts: dict[int, bytes] = field(default_factory=dict)


class MemoryObjectStore:
    """Objects in a dict. `request` plays the HTTP client that uses a signed request."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._signed: dict[str, tuple[SignedRequest, str]] = {}
        self._uploads: dict[str, _Upload] = {}
        self._part_urls: dict[str, tuple[str, int]] = {}
        self._sizes: dict[str, int] = {}

    async def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        """Store a file's bytes."""
        self._objects[key] = await asyncio.to_thread(path.read_bytes)

    async def get_file(self, key: str, path: Path) -> None:
        """Write an object's bytes to a file."""
        await asyncio.to_thread(path.write_bytes, self._load(key))

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """An object's bytes in pieces."""
        data = self._load(key)
        for start in range(0, len(data), _PIECE):
            yield data[start : start + _PIECE]

    async def head(self, key: str) -> ObjectInfo | None:
        """An object's size."""
        data = self._objects.get(key)
        return None if data is None else ObjectInfo(key=key, size=len(data))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Objects below a prefix, in order."""
        for key in sorted(self._objects):
            if key.startswith(prefix):
                yield ObjectInfo(key=key, size=len(self._objects[key]))

    async def copy(self, source: str, target: str) -> None:
        """Make `target` the same bytes."""
        self._objects[target] = self._load(source)

    async def delete(self, key: str) -> None:
        """Delete an object."""
        self._objects.pop(key, None)

    async def delete_below(self, prefix: str) -> None:
        """Delete the objects below a prefix."""
        for key in [info.key async for info in self.list(checked_prefix(prefix))]:
            await self.delete(key)

    async def presign_put(self, key: str, *, ttl: float, content_type: str, size: int | None = None) -> SignedRequest:
        """A request that stores its body."""
        signed = self._sign("PUT", key, ttl, {"Content-Type": content_type})
        if size is not None:
            self._sizes[signed.url] = size
        return signed

    async def presign_get(self, key: str, *, ttl: float, filename: str) -> SignedRequest:
        """A request that reads."""
        return self._sign("GET", key, ttl, {})

    async def put_bytes(self, key: str, data: bytes | bytearray) -> None:
        """Store bytes."""
        self._objects[key] = bytes(data)

    async def begin_parts(self, key: str) -> str:
        """Begin a multipart upload."""
        upload_id = secrets.token_hex(8)
        self._uploads[upload_id] = _Upload(key=key, begun=datetime.now(UTC))
        return upload_id

    async def put_part(self, key: str, upload_id: str, number: int, data: bytes | bytearray) -> None:
        """Store a part."""
        self._upload(key, upload_id).parts[number] = bytes(data)

    async def presign_part(self, key: str, upload_id: str, number: int, *, size: int, ttl: float) -> SignedRequest:
        """A request that stores a part."""
        signed = self._sign("PUT", key, ttl, {})
        self._part_urls[signed.url], self._sizes[signed.url] = (upload_id, number), size
        return signed

    async def parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """The parts that are there."""
        held = self._upload(key, upload_id).parts
        return [Part(number=n, size=len(held[n]), tag=hashlib.md5(held[n]).hexdigest()) for n in sorted(held)]  # noqa: S324 - as S3 does

    async def join_parts(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Make the parts an object. Raises Unavailable where S3 refuses: short parts, or not what is there."""
        held = {part.number: part for part in await self.parts(key, upload_id)}
        short = any(part.size < LEAST_PART for part in parts[:-1])
        if not parts or short or any(held.get(part.number) != part for part in parts):
            raise Unavailable("the object store refused: InvalidPart", code=ErrorCode.STORE_UNAVAILABLE)
        stored = self._uploads.pop(upload_id).parts
        self._objects[key] = b"".join(stored[part.number] for part in parts)

    async def abort_parts(self, key: str, upload_id: str) -> None:
        """Forget the parts."""
        self._uploads.pop(upload_id, None)

    async def unfinished_parts(self, prefix: str) -> AsyncIterator[Unfinished]:
        """Multipart uploads under way."""
        for upload_id, upload in list(self._uploads.items()):
            if upload.key.startswith(prefix):
                yield Unfinished(key=upload.key, upload_id=upload_id, begun=upload.begun)

    async def close(self) -> None:
        """Nothing to give back."""

    async def request(self, signed: SignedRequest, body: bytes = b"") -> bytes:
        """Make a signed request as an HTTP client would. Raises PermissionError when it is not valid (any more)."""
        known, key = self._signed.get(signed.url, (None, ""))
        if known is None or known.method != signed.method or known.expires <= datetime.now(UTC):
            raise PermissionError(signed.url)
        if len(body) != self._sizes.get(signed.url, len(body)):
            raise PermissionError(signed.url)
        if signed.url in self._part_urls:
            upload_id, number = self._part_urls[signed.url]
            await self.put_part(key, upload_id, number, body)
            return b""
        if signed.method == "PUT":
            self._objects[key] = body
            return b""
        return self._load(key)

    def _sign(self, method: str, key: str, ttl: float, headers: dict[str, str]) -> SignedRequest:
        signed = SignedRequest(
            method=method,
            url=f"memory://{key}?signature={secrets.token_hex(8)}",
            expires=datetime.now(UTC) + timedelta(seconds=ttl),
            headers=headers,
        )
        self._signed[signed.url] = (signed, key)
        return signed

    def _upload(self, key: str, upload_id: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise NotFound(f"no multipart upload {upload_id}", code=ErrorCode.OBJECT_NOT_FOUND)
        return upload

    def _load(self, key: str) -> bytes:
        try:
            return self._objects[key]
        except KeyError:
            raise NotFound(f"no object {key}", code=ErrorCode.OBJECT_NOT_FOUND) from None
