"""AssetService."""

from __future__ import annotations

from pathlib import PurePath

from google.protobuf.empty_pb2 import Empty

from framewire.db.assets import AssetStore
from framewire.db.rows import StoredAsset, timestamp
from framewire.errors import Conflict, ErrorCode, NotFound
from framewire.jobs.ids import new_asset_id
from framewire.storage.interface import SignedRequest
from framewire.storage.keys import upload_key
from framewire.v1.asset_pb2 import (
    ASSET_STATE_READY,
    Asset,
    CompleteUploadRequest,
    CreateDownloadUrlRequest,
    CreateDownloadUrlResponse,
    CreateUploadRequest,
    CreateUploadResponse,
    DeleteAssetRequest,
    GetAssetRequest,
    ListAssetsRequest,
    ListAssetsResponse,
    SignedUrl,
)
from gateway.pages import cut, page_limit, page_start, page_token
from gateway.pipeline import Call
from gateway.uploads import SigningStore, UploadChecker

_UPLOAD_TTL = 3600.0  # seconds in which an upload has to begin
_DOWNLOAD_TTL = 3600
_CONTENT_TYPE = "application/octet-stream"  # the store must never serve what a client claims it is
_LIST = "assets"


class AssetHandlers:
    """Uploads, downloads and what is known of them."""

    def __init__(self, assets: AssetStore, store: SigningStore, uploads: UploadChecker) -> None:
        self._assets = assets
        self._store = store
        self._uploads = uploads

    async def create_upload(self, call: Call, request: CreateUploadRequest) -> CreateUploadResponse:
        """Reserve an asset and sign the request that sends its bytes."""
        asset_id = new_asset_id()
        key = upload_key(call.workspace_id, asset_id)
        signed = await self._store.presign_put(key, ttl=_UPLOAD_TTL, content_type=_CONTENT_TYPE)
        stored = await self._assets.create_upload(
            call.workspace_id,
            asset_id=asset_id,
            filename=request.filename,
            size_bytes=request.size_bytes,
            declared_sha256=request.sha256,
            object_key=key,
        )
        return CreateUploadResponse(asset=stored.asset, upload=_signed_url(signed))

    async def complete_upload(self, call: Call, request: CompleteUploadRequest) -> Asset:
        """Check the bytes, then let jobs have them."""
        stored = await self._assets.get(call.workspace_id, request.asset_id)
        if stored.asset.state == ASSET_STATE_READY:
            return stored.asset
        accepted = await self._uploads.accept(stored)
        completed = await self._assets.complete_upload(
            call.workspace_id, request.asset_id, sha256=accepted.sha256, object_key=accepted.object_key
        )
        if completed.object_key != accepted.object_key:  # somebody else completed it meanwhile
            await self._uploads.discard(accepted)
        return completed.asset

    async def get_asset(self, call: Call, request: GetAssetRequest) -> Asset:
        """One asset."""
        return (await self._assets.get(call.workspace_id, request.asset_id)).asset

    async def list_assets(self, call: Call, request: ListAssetsRequest) -> ListAssetsResponse:
        """A page of assets."""
        limit = page_limit(request.page_size)
        before = page_start(_LIST, request.page_token)
        found = await self._assets.list(call.workspace_id, limit=limit + 1, before=before)
        page, more = cut([stored.asset for stored in found], limit)
        return ListAssetsResponse(assets=page, next_page_token=page_token(_LIST, page[-1].asset_id) if more else "")

    async def delete_asset(self, call: Call, request: DeleteAssetRequest) -> Empty:
        """Forget an asset; its bytes follow."""
        await self._assets.delete(call.workspace_id, request.asset_id)
        return Empty()

    async def create_download_url(self, call: Call, request: CreateDownloadUrlRequest) -> CreateDownloadUrlResponse:
        """Sign the request that reads an asset's bytes."""
        stored = await self._assets.get(call.workspace_id, request.asset_id)
        if stored.asset.state != ASSET_STATE_READY:
            raise Conflict("the asset's upload is not complete", code=ErrorCode.ASSET_NOT_READY)
        key, filename = _thumbnail(stored) if request.thumbnail else (stored.object_key, stored.asset.filename)
        signed = await self._store.presign_get(key, ttl=request.ttl_seconds or _DOWNLOAD_TTL, filename=filename)
        return CreateDownloadUrlResponse(download=_signed_url(signed))


def _thumbnail(stored: StoredAsset) -> tuple[str, str]:
    """Its key, and a name to save it under."""
    if not stored.thumbnail_key:
        raise NotFound(f"there is no thumbnail of {stored.asset.asset_id}", code=ErrorCode.THUMBNAIL_NOT_FOUND)
    return stored.thumbnail_key, f"{PurePath(stored.asset.filename).stem}.jpg"


def _signed_url(signed: SignedRequest) -> SignedUrl:
    return SignedUrl(
        url=signed.url, method=signed.method, headers=dict(signed.headers), expire_time=timestamp(signed.expires)
    )
