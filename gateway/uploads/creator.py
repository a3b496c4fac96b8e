"""The beginning of an upload: an asset is reserved, or is there already."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ulid import ULID

from framewire.db.assets import AssetStore
from framewire.db.rows import StoredAsset
from framewire.errors import FramewireError, InvalidRequest, NotFound, Violation
from framewire.jobs.ids import new_asset_id
from framewire.storage.interface import ObjectStore
from framewire.storage.keys import asset_key, upload_key
from gateway.limits import Buckets
from gateway.uploads.settings import UploadSettings

_HOUR = 3600
_LEAST_LEFT = timedelta(minutes=5)
"""An asset that expires sooner than this is not copied from: it might be gone in the middle of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """What a client says of a file it wants to upload."""

    filename: str
    size_bytes: int
    sha256: str = ""
    """Lower-case hexadecimal; empty when it does not say."""
    may_be_there: bool = True
    """It does not insist on sending the bytes."""


class UploadCreator:
    """Begins uploads."""

    def __init__(self, assets: AssetStore, store: ObjectStore, settings: UploadSettings) -> None:
        self._assets = assets
        self._store = store
        self._settings = settings
        quota = settings.per_hour
        self._rate = Buckets("workspace", quota, _HOUR, counted="uploads") if quota else None

    async def create(self, workspace_id: str, new: NewUpload) -> StoredAsset:
        """A reserved asset; a READY one where the workspace has these bytes.

        Raises InvalidRequest for a size over the limit, TooMuch (RATE_LIMITED).
        """
        if new.size_bytes > self._settings.largest:
            words = f"must be {self._settings.largest} at most"
            raise InvalidRequest(f"size_bytes {words}", violations=[Violation("size_bytes", words)])
        if self._rate is not None:
            self._rate.take(workspace_id)
        same = await self._same(workspace_id, new) if new.sha256 and new.may_be_there else None
        asset_id = new_asset_id()
        stored = await self._assets.create_upload(
            workspace_id,
            asset_id=asset_id,
            filename=new.filename,
            size_bytes=new.size_bytes,
            declared_sha256=new.sha256,
            object_key=upload_key(workspace_id, asset_id),
            part_size=self._settings.part_size,
            expires=datetime.now(UTC) + self._settings.time,
        )
        return stored if same is None else await self._copied(stored, same)

    async def _same(self, workspace_id: str, new: NewUpload) -> StoredAsset | None:
        """An asset with these bytes that will be there for long enough."""
        like = await self._assets.find_same(workspace_id, sha256=new.sha256, size_bytes=new.size_bytes)
        return None if like is None or _expires_soon(like) else like

    async def _copied(self, stored: StoredAsset, like: StoredAsset) -> StoredAsset:
        """The reserved asset, READY with a copy of another's bytes; as it is when these are gone.

        It was reserved first: of a gateway that dies in between, an upload is left that expires with all that was made.
        """
        workspace_id, asset_id = stored.asset.workspace_id, stored.asset.asset_id
        key, keep = asset_key(workspace_id, asset_id, str(ULID()).lower()), self._settings.keep
        try:
            await self._store.copy(like.object_key, key)
            return await self._assets.complete_upload(
                workspace_id,
                asset_id,
                sha256=like.asset.sha256,
                object_key=key,
                media=like.asset.media if like.asset.HasField("media") else None,
                expires=None if keep is None else datetime.now(UTC) + keep,
            )
        except NotFound:
            return stored
        except FramewireError:
            await self._assets.delete(workspace_id, asset_id)
            raise


def _expires_soon(like: StoredAsset) -> bool:
    if not like.asset.HasField("expire_time"):
        return False
    return like.asset.expire_time.ToDatetime(UTC) < datetime.now(UTC) + _LEAST_LEFT
