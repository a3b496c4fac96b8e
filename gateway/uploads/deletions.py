"""Where the bytes of uploads and assets lie, for whoever forgets them."""

from __future__ import annotations

from framewire.db.assets import Deletions
from framewire.db.outbox import Entry, OutboxKind
from framewire.db.rows import StoredAsset
from framewire.storage.keys import asset_prefix, tails_prefix, upload_key


def sent(stored: StoredAsset, multipart_id: str) -> list[Entry]:
    """What a client has sent: the object, its parts, the bytes behind them."""
    workspace_id, asset_id = stored.asset.workspace_id, stored.asset.asset_id
    key = upload_key(workspace_id, asset_id)
    entries = [(OutboxKind.ABORT_PARTS, f"{key}\n{multipart_id}".encode())] if multipart_id else []
    entries.append((OutboxKind.DELETE_OBJECT, key.encode()))
    entries.append((OutboxKind.DELETE_BELOW, tails_prefix(workspace_id, asset_id).encode()))
    return entries


def kept(stored: StoredAsset) -> list[Entry]:
    """What was made of it, also by completions that died; of a result, the result and its thumbnail."""
    if not stored.asset.source_job_id:
        prefix = asset_prefix(stored.asset.workspace_id, stored.asset.asset_id)
        return [(OutboxKind.DELETE_BELOW, prefix.encode())]
    keys = filter(None, (stored.object_key, stored.thumbnail_key))
    return [(OutboxKind.DELETE_OBJECT, key.encode()) for key in keys]


DELETIONS = Deletions(sent=sent, kept=kept)
