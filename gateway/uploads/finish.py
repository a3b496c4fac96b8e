"""The end of an upload: parts become an object, the object is checked, the asset is READY."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from framewire.db.assets import AssetStore
from framewire.db.rows import StoredAsset
from framewire.db.uploads import StoredUpload, UploadStore
from framewire.errors import Conflict, ErrorCode, FramewireError, MediaError, NotFound
from framewire.storage.keys import tails_prefix, upload_key
from framewire.storage.parts import PartStore
from framewire.v1.asset_pb2 import ASSET_STATE_READY, Asset
from gateway.uploads.checker import Accepted, UploadChecker
from gateway.uploads.standing import is_whole, missing_parts, part_count, parts_of

_WRONG = {ErrorCode.UPLOAD_SIZE_MISMATCH, ErrorCode.UPLOAD_HASH_MISMATCH, ErrorCode.UPLOAD_TYPE_UNSUPPORTED}
_NAMED = 10


class Finisher:
    """Finishes uploads. Any number of calls for one upload come to the same."""

    def __init__(
        self, assets: AssetStore, uploads: UploadStore, store: PartStore, checker: UploadChecker, keep: timedelta | None
    ) -> None:
        self._assets = assets
        self._uploads = uploads
        self._store = store
        self._checker = checker
        self._keep = keep

    async def finish(self, workspace_id: str, asset_id: str) -> Asset:
        """The asset, READY.

        Raises NotFound (ASSET_NOT_FOUND), Conflict (UPLOAD_INCOMPLETE, UPLOAD_MISSING), Unavailable. Raises Conflict
        (UPLOAD_SIZE_MISMATCH, UPLOAD_HASH_MISMATCH, UPLOAD_TYPE_UNSUPPORTED) and MediaError for bytes that are not
        taken: they are gone then, and others may be sent.
        """
        upload = await self._uploads.get(workspace_id, asset_id)
        if upload.stored.asset.state == ASSET_STATE_READY:
            return upload.stored.asset
        await self._join(upload)
        try:
            accepted = await self._checker.accept(upload.stored)
        except FramewireError as error:
            now = await self._uploads.get(workspace_id, asset_id)
            if now.stored.asset.state == ASSET_STATE_READY:
                return now.stored.asset  # somebody else was quicker: what was sent is on its way out
            if error.code in _WRONG or isinstance(error, MediaError):
                await self._discard(upload)
            raise
        completed = await self._complete(workspace_id, asset_id, accepted)
        if completed.object_key != accepted.object_key:  # somebody else completed it meanwhile
            await self._checker.discard(accepted)
        return completed.asset

    def expiry(self) -> datetime | None:
        """When an asset expires that is made now."""
        return None if self._keep is None else datetime.now(UTC) + self._keep

    async def _complete(self, workspace_id: str, asset_id: str, accepted: Accepted) -> StoredAsset:
        try:
            return await self._assets.complete_upload(
                workspace_id,
                asset_id,
                sha256=accepted.sha256,
                object_key=accepted.object_key,
                media=accepted.media,
                expires=self.expiry(),
            )
        except NotFound:  # it was deleted meanwhile, or has expired: nobody else knows of this copy
            await self._checker.discard(accepted)
            raise

    async def _join(self, upload: StoredUpload) -> None:
        """Make an object of the parts. Nothing to do where there is one already, or no part."""
        if await is_whole(self._store, upload) or not (parts := await parts_of(self._store, upload)):
            return
        if missing := missing_parts(upload, parts):
            raise _incomplete(upload, missing)
        asset = upload.stored.asset
        own = parts[: part_count(asset.size_bytes, upload.part_size)]
        try:
            await self._store.join_parts(upload_key(asset.workspace_id, asset.asset_id), upload.multipart_id, own)
        except NotFound:
            return  # somebody else has joined them meanwhile

    async def _discard(self, upload: StoredUpload) -> None:
        asset = upload.stored.asset
        key = upload_key(asset.workspace_id, asset.asset_id)
        await self._store.delete(key)
        await self._store.delete_below(tails_prefix(asset.workspace_id, asset.asset_id))
        if upload.multipart_id:
            await self._store.abort_parts(key, upload.multipart_id)
            await self._uploads.set_multipart(asset.asset_id, "", instead_of=upload.multipart_id)


def _incomplete(upload: StoredUpload, missing: Sequence[int]) -> Conflict:
    count = part_count(upload.stored.asset.size_bytes, upload.part_size)
    named = ", ".join(map(str, missing[:_NAMED])) + (", ..." if len(missing) > _NAMED else "")
    words = f"of {count} parts, {len(missing)} are missing or have another length: {named}; send them"
    return Conflict(words, code=ErrorCode.UPLOAD_INCOMPLETE)
