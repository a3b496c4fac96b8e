"""What nobody needs any more goes: assets whose time is over, uploads never finished, what dying gateways left.

Everything may be done twice and by several gateways at once. Rows say what is to go; the outbox makes it so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

from ulid import ULID

from framewire.db.expiring import ExpiryStore
from framewire.storage.keys import every_tail_prefix, results_prefix, uploads_prefix
from framewire.storage.parts import PartStore
from gateway.uploads.checker import UploadChecker
from gateway.uploads.settings import UploadSettings

_BATCH = 100
_SWEEP = timedelta(hours=1)
_GRACE = timedelta(hours=1)
"""Whoever was to send, or to delete, something has done it by then."""
log = logging.getLogger(__name__)


class Janitor:
    """One round looks for what has expired; the first, and then one an hour, also for what no row knows of."""

    def __init__(self, expiry: ExpiryStore, store: PartStore, checker: UploadChecker, settings: UploadSettings) -> None:
        self._expiry = expiry
        self._store = store
        self._checker = checker
        self._settings = settings
        self._swept = datetime.min.replace(tzinfo=UTC)

    async def round(self) -> None:
        """Look at everything once. Raises Unavailable."""
        now = datetime.now(UTC)
        await _all("uploads never finished", lambda: self._expiry.give_up_uploads(now, limit=_BATCH))
        if self._settings.keep is not None:
            keep = self._settings.keep
            await self._expiry.begin_to_count(keep)
            await _all("assets", lambda: self._expiry.delete_assets(now, limit=_BATCH))
            await _all("segments of failed jobs", lambda: self._expiry.delete_segments(now - keep, limit=_BATCH))
        if now - self._swept > _SWEEP:
            await self.sweep(now)
            self._swept = now

    async def sweep(self, now: datetime) -> None:
        """Delete what lies in the store for uploads that are over: sent after the end, or by somebody who died."""
        await asyncio.to_thread(self._checker.sweep)
        late = now - self._settings.time - _GRACE
        for workspace_id in await self._expiry.workspaces():
            prefix = uploads_prefix(workspace_id)
            await self._sweep_objects(prefix, late)
            await self._sweep_objects(every_tail_prefix(workspace_id), late)
            await self._sweep_parts(prefix, now - _GRACE)
            await self._sweep_results(results_prefix(workspace_id), late)

    async def _sweep_objects(self, prefix: str, late: datetime) -> None:
        old = (info.key async for info in self._store.list(prefix) if _begun(_asset_of(info.key, prefix)) < late)
        async for keys in _batches(old):
            known = await self._expiry.under_way({_asset_of(key, prefix) for key in keys})
            for key in keys:
                if _asset_of(key, prefix) not in known:
                    log.warning("%s belongs to no upload under way: deleted", key)
                    await self._store.delete(key)

    async def _sweep_parts(self, prefix: str, late: datetime) -> None:
        async for each in self._store.unfinished_parts(prefix):
            if each.begun > late:
                continue
            asset_id = _asset_of(each.key, prefix)
            if (await self._expiry.under_way({asset_id})).get(asset_id) != each.upload_id:
                log.warning("a multipart upload of %s is nobody's: aborted", each.key)
                await self._store.abort_parts(each.key, each.upload_id)

    async def _sweep_results(self, prefix: str, late: datetime) -> None:
        """Parts of results whose workers died while they sent them; nobody sends one for this long."""
        async for each in self._store.unfinished_parts(prefix):
            if each.begun < late:
                log.warning("the result %s was never finished: its parts are deleted", each.key)
                await self._store.abort_parts(each.key, each.upload_id)


async def _all(what: str, some: Callable[[], Awaitable[int]]) -> None:
    count = 0
    while (more := await some()) > 0:
        count += more
    if count:
        log.info("%s: %d have expired", what, count)


async def _batches(keys: AsyncIterator[str]) -> AsyncIterator[list[str]]:
    batch: list[str] = []
    async for key in keys:
        batch.append(key)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _asset_of(key: str, prefix: str) -> str:
    return key.removeprefix(prefix).partition("/")[0]


def _begun(asset_id: str) -> datetime:
    """When an upload was reserved: its id says so. What has no such id was not put there by a gateway: now."""
    try:
        return ULID.from_str(asset_id.removeprefix("ast_").upper()).datetime
    except ValueError:
        return datetime.now(UTC)
