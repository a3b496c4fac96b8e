"""AssetService."""

from __future__ import annotations

from pathlib import PurePath

from google.protobuf.empty_pb2 import Empty

from framewire.db.assets import AssetStore
from framewire.db.rows import StoredAsset
from framewire.errors import Conflict, ErrorCode, NotFound
from framewire.storage.interface import PresignsUrls
from framewire.v1.asset_pb2 import (
    ASSET_STATE_READY,
    Asset,
    CreateDownloadUrlRequest,
    CreateDownloadUrlResponse,
    DeleteAssetRequest,
    GetAssetRequest,
    ListAssetsRequest,
    ListAssetsResponse,
)
from gateway.pages import cut, page_limit, page_start, page_token
from gateway.pipeline import Call
from gateway.uploads.signed import signed_url

_DOWNLOAD_TTL = 3600
_LIST = "assets"


class AssetHandlers:
    """What is known of assets, and where their bytes can be read."""

    def __init__(self, assets: AssetStore, store: PresignsUrls) -> None:
        self._assets = assets
        self._store = store

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
        return CreateDownloadUrlResponse(download=signed_url(signed))


def _thumbnail(stored: StoredAsset) -> tuple[str, str]:
    """Its key, and a name to save it under."""
    if not stored.thumbnail_key:
        raise NotFound(f"there is no thumbnail of {stored.asset.asset_id}", code=ErrorCode.THUMBNAIL_NOT_FOUND)
    return stored.thumbnail_key, f"{PurePath(stored.asset.filename).stem}.jpg"
