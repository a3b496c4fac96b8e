"""The object store in memory."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from framewire.errors import ErrorCode, NotFound
from framewire.storage.interface import ObjectInfo, SignedRequest, checked_prefix

_PIECE = 1 << 20


class MemoryObjectStore:
    """Objects in a dict. `request` plays the HTTP client that uses a signed request."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._signed: dict[str, tuple[SignedRequest, str]] = {}

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

    async def presign_put(self, key: str, *, ttl: float, content_type: str) -> SignedRequest:
        """A request that stores its body."""
        return self._sign("PUT", key, ttl, {"Content-Type": content_type})

    async def presign_get(self, key: str, *, ttl: float, filename: str) -> SignedRequest:
        """A request that reads."""
        return self._sign("GET", key, ttl, {})

    async def close(self) -> None:
        """Nothing to give back."""

    async def request(self, signed: SignedRequest, body: bytes = b"") -> bytes:
        """Make a signed request as an HTTP client would. Raises PermissionError when it is not valid (any more)."""
        known, key = self._signed.get(signed.url, (None, ""))
        if known is None or known.method != signed.method or known.expires <= datetime.now(UTC):
            raise PermissionError(signed.url)
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

    def _load(self, key: str) -> bytes:
        try:
            return self._objects[key]
        except KeyError:
            raise NotFound(f"no object {key}", code=ErrorCode.OBJECT_NOT_FOUND) from None
