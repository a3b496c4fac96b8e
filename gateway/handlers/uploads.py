"""The part of AssetService by which bytes come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from framewire.db.uploads import StoredUpload, UploadStore
from framewire.errors import Conflict, ErrorCode, InvalidRequest, Violation
from framewire.storage.keys import upload_key
from framewire.v1.asset_pb2 import (
    ASSET_STATE_READY,
    Asset,
    CompleteUploadRequest,
    CreateUploadRequest,
    CreateUploadResponse,
    GetUploadRequest,
    PartPlan,
    SignedPart,
    SignUploadPartsRequest,
    SignUploadPartsResponse,
    Upload,
    UploadAssetRequest,
    UploadAssetResponse,
    UploadedPart,
)
from gateway.pipeline import Call
from gateway.uploads import SigningStore, UploadChecker, UploadSettings
from gateway.uploads.creator import NewUpload, UploadCreator
from gateway.uploads.finish import Finisher
from gateway.uploads.pieces import bounded
from gateway.uploads.signed import signed_url
from gateway.uploads.standing import Standing, missing_parts, part_bytes, part_count, standing
from gateway.uploads.writer import UploadWriter

_TTL = 3600.0  # seconds in which a signed request has to begin
_MOST_SIGNED = 100
_CONTENT_TYPE = "application/octet-stream"  # the store must never serve what a client claims it is


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadParts:
    """What uploads are made of; shared by gRPC, REST and tus."""

    settings: UploadSettings
    store: SigningStore
    uploads: UploadStore
    creator: UploadCreator
    writer: UploadWriter
    checker: UploadChecker
    finisher: Finisher


class UploadHandlers:
    """Uploads."""

    def __init__(self, parts: UploadParts) -> None:
        self._settings = parts.settings
        self._store = parts.store
        self._uploads = parts.uploads
        self._creator = parts.creator
        self._writer = parts.writer
        self._finisher = parts.finisher

    async def create_upload(self, call: Call, request: CreateUploadRequest) -> CreateUploadResponse:
        """Reserve an asset and sign the request that sends its bytes."""
        new = NewUpload(filename=request.filename, size_bytes=request.size_bytes, sha256=request.sha256)
        stored = await self._creator.create(call.workspace_id, new)
        if stored.asset.state == ASSET_STATE_READY:
            return CreateUploadResponse(asset=stored.asset)
        signed = await self._store.presign_put(
            stored.object_key, ttl=_TTL, content_type=_CONTENT_TYPE, size=request.size_bytes
        )
        answer = CreateUploadResponse(asset=stored.asset, upload=signed_url(signed))
        if request.multipart or request.size_bytes > self._settings.multipart_from:
            answer.multipart.CopyFrom(_plan(request.size_bytes, self._settings.part_size))
        return answer

    async def get_upload(self, call: Call, request: GetUploadRequest) -> Upload:
        """How far it has come."""
        upload = await self._uploads.get(call.workspace_id, request.asset_id)
        return _told(upload, await standing(self._store, upload))

    async def sign_upload_parts(self, call: Call, request: SignUploadPartsRequest) -> SignUploadPartsResponse:
        """Sign what is asked for, or what comes next."""
        upload = await self._uploads.get(call.workspace_id, request.asset_id)
        if upload.stored.asset.state == ASSET_STATE_READY:
            raise Conflict("the asset is READY; nothing more can be sent", code=ErrorCode.UPLOAD_ENDED)
        upload = await self._writer.begun(call.workspace_id, request.asset_id)
        now = await standing(self._store, upload)
        numbers = _checked(upload, request.part_numbers) or _next(upload, now)
        parts = [await self._signed(upload, number) for number in numbers]
        return SignUploadPartsResponse(upload=_told(upload, now), parts=parts)

    async def complete_upload(self, call: Call, request: CompleteUploadRequest) -> Asset:
        """Check the bytes, then let jobs have them."""
        return await self._finisher.finish(call.workspace_id, request.asset_id)

    async def upload_asset(self, call: Call, requests: AsyncIterator[UploadAssetRequest]) -> UploadAssetResponse:
        """Take the bytes themselves."""
        requests = bounded(requests, self._settings.stall)
        first = await anext(requests, None)
        if first is None or not first.HasField("start"):
            raise _wrong("start", "has to come first")
        asset_id = first.start.asset_id
        upload = await self._uploads.get(call.workspace_id, asset_id)
        offset = await self._writer.append(call.workspace_id, asset_id, first.start.offset, _data(requests))
        if offset < upload.stored.asset.size_bytes:
            return UploadAssetResponse(offset=offset, asset=upload.stored.asset)
        return UploadAssetResponse(offset=offset, asset=await self._finisher.finish(call.workspace_id, asset_id))

    async def _signed(self, upload: StoredUpload, number: int) -> SignedPart:
        asset, size = upload.stored.asset, part_bytes(upload, number)
        key = upload_key(asset.workspace_id, asset.asset_id)
        signed = await self._store.presign_part(key, upload.multipart_id, number, size=size, ttl=_ttl(asset))
        return SignedPart(number=number, size_bytes=size, upload=signed_url(signed))


async def _data(requests: AsyncIterator[UploadAssetRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.HasField("start"):
            raise _wrong("start", "comes once, first")
        yield request.data


def _wrong(field: str, words: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {words}", violations=[Violation(field, words)])


def _ttl(asset: Asset) -> float:
    """A URL is good for no longer than the upload: nothing may arrive that nobody deletes."""
    if not asset.HasField("expire_time"):
        return _TTL
    left = (asset.expire_time.ToDatetime(UTC) - datetime.now(UTC)).total_seconds()
    return max(1.0, min(_TTL, left))


def _checked(upload: StoredUpload, numbers: Sequence[int]) -> list[int]:
    count = part_count(upload.stored.asset.size_bytes, upload.part_size)
    if any(number > count for number in numbers):
        raise _wrong("part_numbers", f"go from 1 to {count}")
    return sorted(set(numbers))


def _next(upload: StoredUpload, now: Standing) -> list[int]:
    if now.whole == upload.stored.asset.size_bytes:
        return []
    return missing_parts(upload, now.parts)[:_MOST_SIGNED]


def _plan(size: int, part_size: int) -> PartPlan:
    return PartPlan(part_size=part_size, part_count=part_count(size, part_size))


def _told(upload: StoredUpload, now: Standing) -> Upload:
    asset = upload.stored.asset
    return Upload(
        asset_id=asset.asset_id,
        offset=now.offset,
        size_bytes=asset.size_bytes,
        multipart=_plan(asset.size_bytes, upload.part_size) if upload.part_size else None,
        parts=[UploadedPart(number=part.number, size_bytes=part.size) for part in now.parts],
        expire_time=asset.expire_time if asset.HasField("expire_time") else None,
    )
