"""Bytes between a file and a signed URL, in pieces of bounded size, with deadlines."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp

from framewire.errors import ErrorCode, LocalError, Unavailable
from framewire.v1.asset_pb2 import SignedUrl

PIECE = 1 << 20
STALL = 60.0
"""Seconds without a byte after which a transfer is given up."""

Advance = Callable[[int, int], None]
"""Told (bytes so far, bytes in all)."""


def nobody(done: int, total: int) -> None:
    """An Advance nobody listens to."""


def sha256_of(path: Path) -> tuple[int, str]:
    """Size and lower-case hexadecimal SHA-256 of a file. Blocks: call it in a thread."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def shown_name(path: Path) -> str:
    """A file's name as people are shown it: what the server would refuse in it becomes `_`, as does what is no text.

    On Linux a name is bytes, and may hold line feeds, escape sequences and what is not UTF-8.
    """
    name = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in path.name)
    return name[:255]


async def put_file(signed: SignedUrl, path: Path, size: int, advance: Advance = nobody) -> None:
    """Send a file's first `size` bytes. Raises Unavailable (STORE_UNAVAILABLE)."""
    await put_range(signed, path, 0, size, advance)


async def put_range(signed: SignedUrl, path: Path, start: int, size: int, advance: Advance = nobody) -> None:
    """Send `size` bytes of a file from `start` on. Raises Unavailable (STORE_UNAVAILABLE)."""
    headers = {**signed.headers, "Content-Length": str(size)}
    async with _session() as session, _store_errors():
        body = _pieces(path, start, size, advance)
        async with session.request(signed.method, signed.url, data=body, headers=headers) as response:
            await _check(response)


async def get_file(signed: SignedUrl, path: Path, *, size: int, sha256: str, advance: Advance = nobody) -> None:
    """Receive a file. It appears at `path` when it is complete and its size and hash are right, or not at all.

    A device or a pipe is never replaced by a file.
    Raises Unavailable (STORE_UNAVAILABLE) and LocalError (FILE_UNWRITABLE).
    """
    await asyncio.to_thread(_refuse_what_is_no_file, path)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        with _write_errors(path):
            got = await _receive(signed, temporary, size, advance)
            if got != (size, sha256 or got[1]):
                raise Unavailable("the download is damaged; try again", code=ErrorCode.STORE_UNAVAILABLE)
            await asyncio.to_thread(temporary.replace, path)
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_what_is_no_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise LocalError(f"cannot write {path}: it is not a file", code=ErrorCode.FILE_UNWRITABLE)


async def _receive(signed: SignedUrl, path: Path, size: int, advance: Advance) -> tuple[int, str]:
    digest, done = hashlib.sha256(), 0
    with path.open("xb") as file:
        async with (
            _session() as session,
            _store_errors(),
            session.request(signed.method, signed.url, headers=dict(signed.headers)) as response,
        ):
            await _check(response)
            async for piece in response.content.iter_chunked(PIECE):
                await asyncio.to_thread(_take, file.write, digest.update, piece)
                done += len(piece)
                advance(done, size)
        await asyncio.to_thread(os.fsync, file.fileno())
    return done, digest.hexdigest()


def _take(write: Callable[[bytes], object], update: Callable[[bytes], object], piece: bytes) -> None:
    write(piece)
    update(piece)


async def _pieces(path: Path, start: int, size: int, advance: Advance) -> AsyncIterator[bytes]:
    """The file's bytes; ends early when the file has become shorter, which the store then refuses."""
    done = 0
    with path.open("rb") as file:
        file.seek(start)
        while done < size:
            piece = await asyncio.to_thread(file.read, min(PIECE, size - done))
            if not piece:
                return
            yield piece
            done += len(piece)
            advance(done, size)


def _session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=STALL)
    return aiohttp.ClientSession(timeout=timeout, auto_decompress=False)


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status >= 300:
        raise Unavailable(
            f"the object store at {response.url.host} answered {response.status}", code=ErrorCode.STORE_UNAVAILABLE
        )


@contextlib.asynccontextmanager
async def _store_errors() -> AsyncIterator[None]:
    """Errors of the connection, without the URL: whoever has it can use it."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(
            f"the transfer broke off ({type(error).__name__}); try again", code=ErrorCode.STORE_UNAVAILABLE
        ) from error


@contextlib.contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalError(f"cannot write {path}: {error.strerror or error}", code=ErrorCode.FILE_UNWRITABLE) from error
