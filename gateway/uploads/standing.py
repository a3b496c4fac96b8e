"""How far an upload has come. Derived from the object store alone, so that every gateway finds the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from framewire.db.uploads import StoredUpload
from framewire.errors import NotFound
from framewire.storage.interface import ObjectStore
from framewire.storage.keys import tail_key, upload_key
from framewire.storage.parts import Part, PartStore
from framewire.v1.asset_pb2 import ASSET_STATE_READY


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What of an upload is in the store."""

    parts: Sequence[Part] = ()
    """Every part that is there, by number."""
    whole: int = 0
    """Bytes of the parts from the first to the last before a gap."""
    tail: int = 0
    """Bytes right behind these, too few for a part."""

    @property
    def offset(self) -> int:
        """Where the upload goes on."""
        return self.whole + self.tail


def part_count(size: int, part_size: int) -> int:
    """How many parts so many bytes make."""
    return -(-size // part_size)


def part_bytes(upload: StoredUpload, number: int) -> int:
    """How long a part has to be."""
    return min(upload.part_size, upload.stored.asset.size_bytes - (number - 1) * upload.part_size)


def missing_parts(upload: StoredUpload, parts: Sequence[Part]) -> list[int]:
    """The numbers of the parts that are not there, or have another length than they have to have."""
    held = {part.number: part.size for part in parts}
    numbers = range(1, part_count(upload.stored.asset.size_bytes, upload.part_size) + 1)
    return [number for number in numbers if held.get(number) != part_bytes(upload, number)]


async def standing(store: PartStore, upload: StoredUpload) -> Standing:
    """How far it has come. Raises Unavailable."""
    size = upload.stored.asset.size_bytes
    if upload.stored.asset.state == ASSET_STATE_READY or await is_whole(store, upload):
        return Standing(whole=size)
    parts = await parts_of(store, upload)
    gaps = missing_parts(upload, parts)
    whole = size if not gaps else (gaps[0] - 1) * upload.part_size
    asset = upload.stored.asset
    tail = await store.head(tail_key(asset.workspace_id, asset.asset_id, whole)) if whole < size else None
    return Standing(parts=parts, whole=whole, tail=tail.size if tail is not None else 0)


async def is_whole(store: ObjectStore, upload: StoredUpload) -> bool:
    """Whether all bytes are there as one object: sent by one request, or joined from parts."""
    asset = upload.stored.asset
    found = await store.head(upload_key(asset.workspace_id, asset.asset_id))
    return found is not None and found.size == asset.size_bytes


async def parts_of(store: PartStore, upload: StoredUpload) -> Sequence[Part]:
    """The parts that are there; none when the store has lost them."""
    asset = upload.stored.asset
    if not upload.multipart_id:
        return ()
    try:
        return await store.parts(upload_key(asset.workspace_id, asset.asset_id), upload.multipart_id)
    except NotFound:
        return ()
