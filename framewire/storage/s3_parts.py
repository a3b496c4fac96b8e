"""Multipart uploads on S3."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast

from framewire.errors import NotFound
from framewire.storage.interface import SignedRequest
from framewire.storage.parts import Part, Unfinished

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_TYPE = "application/octet-stream"

P = ParamSpec("P")
T = TypeVar("T")


class Run(Protocol):
    """Calls in a thread, with typed errors."""

    def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """The answer of `call`."""


class S3Parts:
    """What S3ObjectStore does with parts; `StoresParts` says what each method guarantees."""

    def __init__(self, client: S3Client, signer: S3Client, bucket: str, run: Run) -> None:
        self._client = client
        self._signer = signer
        self._bucket = bucket
        self._run = run

    async def put_bytes(self, key: str, data: bytes | bytearray) -> None:
        """One PUT."""
        await self._run(
            self._client.put_object, Bucket=self._bucket, Key=key, Body=cast("bytes", data), ContentType=_TYPE
        )

    async def begin_parts(self, key: str) -> str:
        """CreateMultipartUpload."""
        answer = await self._run(self._client.create_multipart_upload, Bucket=self._bucket, Key=key, ContentType=_TYPE)
        return answer["UploadId"]

    async def put_part(self, key: str, upload_id: str, number: int, data: bytes | bytearray) -> None:
        """UploadPart."""
        await self._run(
            self._client.upload_part,
            Bucket=self._bucket,
            Key=key,
            UploadId=upload_id,
            PartNumber=number,
            Body=cast("bytes", data),  # boto3 takes a bytearray, its stubs do not know
        )

    async def presign_part(self, key: str, upload_id: str, number: int, *, size: int, ttl: float) -> SignedRequest:
        """The length is signed with the rest."""
        parameters = {
            "Bucket": self._bucket,
            "Key": key,
            "UploadId": upload_id,
            "PartNumber": number,
            "ContentLength": size,
        }
        url = await self._run(self._signer.generate_presigned_url, "upload_part", Params=parameters, ExpiresIn=int(ttl))
        return SignedRequest(method="PUT", url=url, expires=datetime.now(UTC) + timedelta(seconds=ttl))

    async def parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """ListParts, a thousand at a time."""
        found: list[Part] = []
        after = 0
        while True:
            page = await self._run(
                self._client.list_parts,
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                PartNumberMarker=after,
            )
            held = page.get("Parts", [])
            found += [Part(number=each["PartNumber"], size=each["Size"], tag=each["ETag"]) for each in held]
            if not page.get("IsTruncated") or not page.get("Parts"):
                return found
            after = found[-1].number

    async def join_parts(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """CompleteMultipartUpload."""
        await self._run(
            self._client.complete_multipart_upload,
            Bucket=self._bucket,
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": [{"PartNumber": part.number, "ETag": part.tag} for part in parts]},
        )

    async def abort_parts(self, key: str, upload_id: str) -> None:
        """AbortMultipartUpload."""
        with contextlib.suppress(NotFound):
            await self._run(self._client.abort_multipart_upload, Bucket=self._bucket, Key=key, UploadId=upload_id)

    async def unfinished_parts(self, prefix: str) -> AsyncIterator[Unfinished]:
        """ListMultipartUploads, a page at a time."""
        more: dict[str, Any] = {}
        while True:
            page = await self._run(self._client.list_multipart_uploads, Bucket=self._bucket, Prefix=prefix, **more)
            for each in page.get("Uploads", []):
                yield Unfinished(key=each["Key"], upload_id=each["UploadId"], begun=each["Initiated"])
            if not page.get("IsTruncated"):
                return
            more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
