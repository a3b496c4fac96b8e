"""Bytes that come through the gateway, into the store: whole parts as they fill, and the rest as a tail.

The gateway holds one part at most; while it is stored nothing more is read from the sender. Whatever was received
when a sender goes away is stored. A gateway that dies loses what it held, which it has told nobody it had.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

from framewire.db.uploads import StoredUpload, UploadStore
from framewire.errors import Conflict, ErrorCode, FramewireError, InvalidRequest, Unavailable
from framewire.storage.keys import tail_key, upload_key
from framewire.storage.parts import PartStore
from framewire.v1.asset_pb2 import ASSET_STATE_READY
from gateway.uploads.checksum import Checksum, checked
from gateway.uploads.lease import Lease, held
from gateway.uploads.pieces import bounded
from gateway.uploads.settings import UploadSettings
from gateway.uploads.standing import Standing, standing

_SAVING = 30.0
"""Seconds in which what was received has to be stored once its sender is gone."""


class UploadWriter:
    """Appends to uploads. Every method raises Unavailable, and NotFound (ASSET_NOT_FOUND)."""

    def __init__(self, uploads: UploadStore, store: PartStore, settings: UploadSettings) -> None:
        self._uploads = uploads
        self._store = store
        self._settings = settings

    async def append(
        self,
        workspace_id: str,
        asset_id: str,
        offset: int,
        pieces: AsyncIterator[bytes],
        *,
        checksum: Checksum | None = None,
    ) -> int:
        """Store the pieces behind `offset`, where the upload has to stand. Returns where it stands then.

        Raises Conflict: UPLOAD_ENDED, UPLOAD_OFFSET_MISMATCH, UPLOAD_BUSY; InvalidRequest (UPLOAD_TOO_LARGE), when
        what was right of the pieces is kept, as it is when they break off. With a checksum all of them are kept or
        none: Conflict (UPLOAD_CHECKSUM_MISMATCH).
        """
        if (await self._uploads.get(workspace_id, asset_id)).stored.asset.state == ASSET_STATE_READY:
            raise Conflict("the asset is READY; nothing more can be sent", code=ErrorCode.UPLOAD_ENDED)
        async with held(self._uploads, asset_id, self._settings.lease) as lease:
            upload = await self.begun(workspace_id, asset_id)
            now = await self._check_offset(upload, offset)
            most = upload.stored.asset.size_bytes - offset
            async with checked(pieces, checksum, self._settings, most) as right:
                return await self._write(upload, now, right, lease)

    async def _check_offset(self, upload: StoredUpload, offset: int) -> Standing:
        """How far the upload is: to `offset`. Raises Conflict (UPLOAD_OFFSET_MISMATCH) when it is not."""
        now = await standing(self._store, upload)
        if now.offset != offset:
            message = f"the upload stands at {now.offset}, not at {offset}; go on there"
            raise Conflict(message, code=ErrorCode.UPLOAD_OFFSET_MISMATCH)
        return now

    async def begun(self, workspace_id: str, asset_id: str) -> StoredUpload:
        """The upload, with a multipart upload in the store that takes parts."""
        upload = await self._uploads.get(workspace_id, asset_id)
        key = upload_key(workspace_id, asset_id)
        if upload.multipart_id:
            try:
                await self._store.parts(key, upload.multipart_id)
            except FramewireError as error:
                if error.code != ErrorCode.OBJECT_NOT_FOUND:
                    raise
            else:
                return upload
        new = await self._store.begin_parts(key)
        if not await self._uploads.set_multipart(asset_id, new, instead_of=upload.multipart_id):
            await self._store.abort_parts(key, new)  # somebody was quicker
        return await self._uploads.get(workspace_id, asset_id)

    async def _write(self, upload: StoredUpload, now: Standing, pieces: AsyncIterator[bytes], lease: Lease) -> int:
        filling = _Filling(self._store, upload, now.whole, await self._tail(upload, now))
        try:
            await filling.settle()
            async for piece in bounded(pieces, self._settings.stall, slowest=self._settings.slowest):
                await filling.take(piece)
        except Unavailable:
            if filling.refused_first:
                await self._begin_anew(upload)
            raise
        finally:
            await _finish(filling.save(lease))
        return filling.offset

    async def _begin_anew(self, upload: StoredUpload) -> None:
        """Forget a multipart upload that holds nothing: the store may never take a part of it.

        rclone does not, when the folder was deleted with its last file after the upload had begun.
        """
        asset = upload.stored.asset
        with contextlib.suppress(FramewireError):
            await self._store.abort_parts(upload_key(asset.workspace_id, asset.asset_id), upload.multipart_id)
            await self._uploads.set_multipart(asset.asset_id, "", instead_of=upload.multipart_id)

    async def _tail(self, upload: StoredUpload, now: Standing) -> bytearray:
        asset, data = upload.stored.asset, bytearray()
        if now.tail:
            async for piece in self._store.read(tail_key(asset.workspace_id, asset.asset_id, now.whole)):
                data += piece
        return data


class _Filling:
    """One part on its way."""

    def __init__(self, store: PartStore, upload: StoredUpload, whole: int, data: bytearray) -> None:
        self._store = store
        self._upload = upload
        self._size = upload.stored.asset.size_bytes
        self._whole = whole
        self._data = data
        self._stored = len(data)
        self.refused_first = False
        """The store did not take the first part."""

    @property
    def offset(self) -> int:
        return self._whole + len(self._data)

    async def take(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            room = self._upload.part_size - len(self._data)
            room = min(room, self._size - self.offset)
            if room == 0:
                raise InvalidRequest(
                    f"more than the {self._size} bytes that were declared", code=ErrorCode.UPLOAD_TOO_LARGE
                )
            self._data += view[:room]
            view = view[room:]
            await self.settle()

    async def settle(self) -> None:
        """Store a part that is full, and the last one once it is whole."""
        if self._data and (len(self._data) >= self._upload.part_size or self.offset == self._size):
            await self._put_part()

    async def save(self, lease: Lease) -> None:
        """Store what is left, as a tail; not when somebody else sends by now, whose tail may be longer.

        Of the last part, which could not be stored, one byte is left out: a sender who is told that everything is here
        would send nothing more, and nobody would finish the upload.
        """
        data = self._data[:-1] if self.offset == self._size else self._data
        if len(data) > self._stored and await lease.keep(_SAVING):
            asset = self._upload.stored.asset
            await self._store.put_bytes(tail_key(asset.workspace_id, asset.asset_id, self._whole), data)
            self._stored = len(data)

    async def _put_part(self) -> None:
        asset = self._upload.stored.asset
        key, number = upload_key(asset.workspace_id, asset.asset_id), self._whole // self._upload.part_size + 1
        self.refused_first = number == 1
        await self._store.put_part(key, self._upload.multipart_id, number, self._data)
        self.refused_first = False
        self._whole += len(self._data)
        self._data, self._stored = bytearray(), 0


async def _finish(saving: Coroutine[object, object, None]) -> None:
    """To its end, also when whoever waits is cancelled."""
    task = asyncio.ensure_future(asyncio.wait_for(saving, _SAVING))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
