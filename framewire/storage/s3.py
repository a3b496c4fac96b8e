"""The object store on S3, or on anything that speaks it, through boto3."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import mimetypes
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from urllib.parse import quote

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from framewire.errors import ErrorCode, NotFound, Unavailable
from framewire.storage.interface import ObjectInfo, SignedRequest, checked_prefix
from framewire.storage.parts import Part, Unfinished
from framewire.storage.s3_lifecycle import Lifecycle, apply
from framewire.storage.s3_parts import S3Parts

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_PIECE = 1 << 20
_UNKNOWN_TYPE = "application/octet-stream"
_THREADS = 8
_MOST_DELETED = 1000  # in one request, by S3's own rule
_MISSING = {"404", "NoSuchKey", "NotFound", "NoSuchUpload"}
_EXISTS = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where the store is and who we are there."""

    endpoint: str
    """Address this process uses, e.g. `http://127.0.0.1:9000`; empty for Amazon's own."""
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    public_endpoint: str = ""
    """Address in signed URLs, where clients reach the store under another one; `endpoint` when empty."""
    region: str = "us-east-1"


class S3ObjectStore:
    """boto3 in a few threads of its own. Use within one event loop and `close` it."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._client = _client(settings, settings.endpoint)
        self._signer = _client(settings, settings.public_endpoint or settings.endpoint)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")
        # boto3 would start threads of its own for each transfer; eight transfers at once are parallel enough
        self._transfer = TransferConfig(use_threads=False, multipart_chunksize=16 << 20)
        self._parts = S3Parts(self._client, self._signer, settings.bucket, self._run)

    async def ensure_bucket(self) -> None:
        """Create the bucket unless it exists."""
        await self._run(self._create_bucket)

    async def set_lifecycle(self, lifecycle: Lifecycle) -> None:
        """Give the bucket these rules. Raises Unavailable, also where the store knows no such rules."""
        await self._run(apply, self._client, self._settings.bucket, lifecycle)

    async def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        """Store a local file's bytes; large ones in parts, visible only when complete."""
        await self._run(
            self._client.upload_file,
            str(path),
            self._settings.bucket,
            key,
            ExtraArgs={"ContentType": content_type},
            Config=self._transfer,
        )

    async def get_file(self, key: str, path: Path) -> None:
        """Write an object's bytes to a local file, by way of a temporary name beside it."""
        await self._run(self._download, key, path)

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """An object's bytes in pieces of 1 MiB."""
        answer = await self._run(self._client.get_object, Bucket=self._settings.bucket, Key=key)
        body = answer["Body"]
        try:
            while piece := await self._run(body.read, _PIECE):
                yield piece
        finally:
            body.close()

    async def head(self, key: str) -> ObjectInfo | None:
        """Size of an object, None when there is none."""
        try:
            answer = await self._run(self._client.head_object, Bucket=self._settings.bucket, Key=key)
        except NotFound:
            return None
        return ObjectInfo(key=key, size=answer["ContentLength"])

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Objects below a prefix, a page at a time."""
        token = ""
        while True:
            more = {"ContinuationToken": token} if token else {}
            page = await self._run(
                self._client.list_objects_v2,
                Bucket=self._settings.bucket,
                Prefix=prefix,
                **more,  # type: ignore[arg-type]  # the stubs want each argument by name
            )
            for entry in page.get("Contents", []):
                yield ObjectInfo(key=entry["Key"], size=entry["Size"])
            token = page.get("NextContinuationToken", "")
            if not token:
                return

    async def copy(self, source: str, target: str) -> None:
        """Make `target` the same bytes as `source`; the bytes do not pass through here.

        One request, good for 5 GiB: boto3's own `copy` takes parts beyond 8 MB, which rclone does not know.
        """
        bucket = self._settings.bucket
        await self._run(
            self._client.copy_object, Bucket=bucket, Key=target, CopySource={"Bucket": bucket, "Key": source}
        )

    async def delete(self, key: str) -> None:
        """Delete an object."""
        with contextlib.suppress(NotFound):
            await self._run(self._client.delete_object, Bucket=self._settings.bucket, Key=key)

    async def delete_below(self, prefix: str) -> None:
        """Delete the objects below a prefix, a thousand in one request."""
        batch: list[ObjectIdentifierTypeDef] = []
        async for info in self.list(checked_prefix(prefix)):
            batch.append({"Key": info.key})
            if len(batch) == _MOST_DELETED:
                await self._delete_all(batch)
                batch = []
        await self._delete_all(batch)

    async def presign_put(self, key: str, *, ttl: float, content_type: str, size: int | None = None) -> SignedRequest:
        """A PUT that stores its body under `key`; its length is signed when it is given."""
        parameters: dict[str, str | int] = {"Bucket": self._settings.bucket, "Key": key, "ContentType": content_type}
        if size is not None:
            parameters["ContentLength"] = size
        url = await self._run(self._signer.generate_presigned_url, "put_object", Params=parameters, ExpiresIn=int(ttl))
        return SignedRequest(method="PUT", url=url, expires=_in(ttl), headers={"Content-Type": content_type})

    async def presign_get(self, key: str, *, ttl: float, filename: str) -> SignedRequest:
        """A GET that reads `key` and tells browsers to save it under `filename`."""
        parameters = {
            "Bucket": self._settings.bucket,
            "Key": key,
            "ResponseContentDisposition": content_disposition(filename),
            "ResponseContentType": content_type(filename),
        }
        url = await self._run(self._signer.generate_presigned_url, "get_object", Params=parameters, ExpiresIn=int(ttl))
        return SignedRequest(method="GET", url=url, expires=_in(ttl))

    async def put_bytes(self, key: str, data: bytes | bytearray) -> None:
        """Store a small object from memory."""
        await self._parts.put_bytes(key, data)

    async def begin_parts(self, key: str) -> str:
        """Begin a multipart upload."""
        return await self._parts.begin_parts(key)

    async def put_part(self, key: str, upload_id: str, number: int, data: bytes | bytearray) -> None:
        """Store a part."""
        await self._parts.put_part(key, upload_id, number, data)

    async def presign_part(self, key: str, upload_id: str, number: int, *, size: int, ttl: float) -> SignedRequest:
        """A PUT that stores a part."""
        return await self._parts.presign_part(key, upload_id, number, size=size, ttl=ttl)

    async def parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """The parts that are there."""
        return await self._parts.parts(key, upload_id)

    async def join_parts(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Make the parts an object."""
        await self._parts.join_parts(key, upload_id, parts)

    async def abort_parts(self, key: str, upload_id: str) -> None:
        """Forget the parts."""
        await self._parts.abort_parts(key, upload_id)

    def unfinished_parts(self, prefix: str) -> AsyncIterator[Unfinished]:
        """Multipart uploads under way."""
        return self._parts.unfinished_parts(prefix)

    async def close(self) -> None:
        """Wait for what runs and give back connections and threads."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        self._client.close()
        self._signer.close()

    async def _delete_all(self, objects: Sequence[ObjectIdentifierTypeDef]) -> None:
        if not objects:
            return
        answer = await self._run(
            self._client.delete_objects, Bucket=self._settings.bucket, Delete={"Objects": objects, "Quiet": True}
        )
        if errors := answer.get("Errors", []):
            message = f"the object store did not delete {len(errors)} objects: {errors[0].get('Message', '')}"
            raise Unavailable(message, code=ErrorCode.STORE_UNAVAILABLE)

    def _create_bucket(self) -> None:
        try:
            self._client.head_bucket(Bucket=self._settings.bucket)
        except ClientError as error:
            if _code(error) not in _MISSING | {"NoSuchBucket"}:
                raise
            try:
                self._client.create_bucket(Bucket=self._settings.bucket)
            except ClientError as race:
                if _code(race) not in _EXISTS:
                    raise

    def _download(self, key: str, path: Path) -> None:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                self._client.download_fileobj(self._settings.bucket, key, file, Config=self._transfer)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    async def _run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call in a thread of the store's own, errors in Framewire's words."""
        work = functools.partial(call, *args, **kwargs)
        with _typed_errors():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def content_type(filename: str) -> str:
    """What a download is told to be: sound and pictures by the name's ending, and nothing a browser would run."""
    guessed = mimetypes.guess_type(filename)[0] or ""
    return guessed if guessed.startswith(("video/", "audio/", "image/")) and "svg" not in guessed else _UNKNOWN_TYPE


def content_disposition(filename: str) -> str:
    """A Content-Disposition that saves under `filename`, safe whatever is in it (RFC 6266)."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _client(settings: S3Settings, endpoint: str) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=settings.region,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if endpoint else "auto"},
            connect_timeout=5,
            read_timeout=30,
            retries={"max_attempts": 3, "mode": "standard"},
            max_pool_connections=_THREADS,
            # checksums in trailers are not understood by every server, and ranged reads fail on theirs
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@contextlib.contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if _code(error) in _MISSING:
            raise NotFound("no such object in the store", code=ErrorCode.OBJECT_NOT_FOUND) from error
        raise Unavailable(f"the object store refused: {error}", code=ErrorCode.STORE_UNAVAILABLE) from error
    except (BotoCoreError, boto3.exceptions.Boto3Error) as error:
        raise Unavailable(f"the object store did not answer: {error}", code=ErrorCode.STORE_UNAVAILABLE) from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)
