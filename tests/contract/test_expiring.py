"""Uploads under way, and what expires, on every database; with two who do it at the same time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from databases import KEYS, Stores, W, a_status, an_order

from framewire.db.assets import Deletions
from framewire.db.expiring import ExpiryStore
from framewire.db.outbox import OutboxKind
from framewire.db.uploads import UploadStore
from framewire.errors import NotFound
from framewire.jobs.ids import new_asset_id
from framewire.v1.asset_pb2 import MediaInfo
from framewire.v1.job_pb2 import JOB_STATE_FAILED, JOB_STATE_SUCCEEDED, JOB_STATE_WAITING_UPLOAD, Event

PAST = datetime.now(UTC) - timedelta(hours=1)
FUTURE = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def expiry(stores: Stores) -> ExpiryStore:
    return ExpiryStore(stores.database, Deletions(), KEYS)


async def reserve(stores: Stores, expires: datetime) -> str:
    asset_id = new_asset_id()
    await stores.assets.create_upload(
        W, asset_id=asset_id, filename="a", size_bytes=5, declared_sha256="", object_key=asset_id, expires=expires
    )
    return asset_id


async def ready(stores: Stores, expires: datetime | None, sha256: str = "ab") -> str:
    asset_id = await reserve(stores, FUTURE)
    media = MediaInfo(container="mp4")
    await stores.assets.complete_upload(W, asset_id, sha256=sha256, media=media, expires=expires)
    return asset_id


async def there(stores: Stores, asset_id: str) -> bool:
    try:
        await stores.assets.get(W, asset_id)
    except NotFound:
        return False
    return True


async def test_late_uploads_go_once_and_their_jobs_fail(stores, expiry):
    late, early = await reserve(stores, PAST), await reserve(stores, FUTURE)
    job = await stores.jobs.create_job(an_order(late))
    other = await stores.jobs.create_job(an_order(early))
    await stores.sent()
    now = datetime.now(UTC)
    counts = await asyncio.gather(*(expiry.give_up_uploads(now) for _ in range(4)))
    assert sum(counts) == 1
    assert (await there(stores, late), await there(stores, early)) == (False, True)
    rows = await stores.outbox.take(10)
    (said,) = [Event.FromString(row.payload) for row in rows if row.kind == OutboxKind.APPEND_EVENT]
    assert (said.job_id, said.status.state, said.status.error.code) == (job.job_id, JOB_STATE_FAILED, "UPLOAD_EXPIRED")
    assert (await stores.jobs.get(W, other.job_id)).state == JOB_STATE_WAITING_UPLOAD


async def test_an_upload_that_is_being_sent_is_left_alone(stores, expiry):
    late = await reserve(stores, PAST)
    uploads = UploadStore(stores.database)
    assert await uploads.hold(late, "w", 60)
    assert await expiry.give_up_uploads(datetime.now(UTC)) == 0
    await uploads.let_go(late, "w")
    assert await expiry.give_up_uploads(datetime.now(UTC)) == 1


async def test_an_asset_in_use_does_not_keep_others_from_going(stores, expiry):
    needed = await ready(stores, PAST)
    job = await stores.jobs.create_job(an_order(needed))
    free = await ready(stores, PAST)
    kept = await ready(stores, FUTURE)
    assert await expiry.delete_assets(datetime.now(UTC), limit=1) == 1
    assert [await there(stores, each) for each in (needed, free, kept)] == [True, False, True]
    await stores.fold(a_status(job, 1, JOB_STATE_SUCCEEDED))
    counts = await asyncio.gather(*(expiry.delete_assets(datetime.now(UTC)) for _ in range(4)))
    assert sum(counts) == 1
    assert not await there(stores, needed)


async def test_an_asset_that_expires_while_a_job_is_created_is_kept_or_refused(stores, expiry):
    for _ in range(5):
        asset_id = await ready(stores, PAST)
        made, _ = await asyncio.gather(
            stores.jobs.create_job(an_order(asset_id)), expiry.delete_assets(datetime.now(UTC)), return_exceptions=True
        )
        assert await there(stores, asset_id) == (not isinstance(made, NotFound))


async def test_what_has_no_end_gets_one(stores, expiry):
    endless = await ready(stores, None)
    await expiry.begin_to_count(timedelta(days=7))
    first = (await stores.assets.get(W, endless)).asset.expire_time
    await expiry.begin_to_count(timedelta(days=9))
    assert (await stores.assets.get(W, endless)).asset.expire_time == first


async def test_segments_of_failed_jobs_go_once(stores, expiry):
    job = await stores.queued()
    await stores.fold(a_status(job, 1, JOB_STATE_FAILED))
    counts = await asyncio.gather(*(expiry.delete_segments(datetime.now(UTC)) for _ in range(4)))
    assert sum(counts) == 1
    assert OutboxKind.DELETE_BELOW in await stores.kinds()


async def test_the_same_bytes_are_found_in_their_workspace_only(stores):
    asset_id = await ready(stores, FUTURE, sha256="cd")
    found = await stores.assets.find_same(W, sha256="cd", size_bytes=5)
    assert found is not None
    assert found.asset.asset_id == asset_id
    assert await stores.assets.find_same(W, sha256="cd", size_bytes=6) is None
    assert await stores.assets.find_same("other", sha256="cd", size_bytes=5) is None


async def test_only_one_of_many_begins_the_parts_and_only_one_sends(stores):
    asset_id = await reserve(stores, FUTURE)
    uploads = UploadStore(stores.database)
    begun = await asyncio.gather(*(uploads.set_multipart(asset_id, f"m{n}", instead_of="") for n in range(6)))
    held = await asyncio.gather(*(uploads.hold(asset_id, f"w{n}", 60) for n in range(6)))
    assert (sum(begun), sum(held)) == (1, 1)
    assert (await uploads.get(W, asset_id)).multipart_id == f"m{begun.index(True)}"
    await stores.assets.complete_upload(W, asset_id, sha256="ab")
    assert (await uploads.get(W, asset_id)).multipart_id == ""
    assert not await uploads.hold(asset_id, "late", 60)
