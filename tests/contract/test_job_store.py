"""The database's stores, the same on SQLite in memory, SQLite in a file and PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import Stores, W, a_status, an_event, an_order, file_database

from framewire.db.database import Database
from framewire.db.jobs import JobFilter, JobStore
from framewire.db.migrate import upgrade
from framewire.db.outbox import OutboxKind
from framewire.db.tables import assets as asset_table
from framewire.db.tables import metadata
from framewire.errors import Conflict, ErrorCode, LocalError, NotFound, Unavailable
from framewire.jobs.ids import new_asset_id, new_job_id
from framewire.v1.asset_pb2 import ASSET_STATE_READY, ASSET_STATE_UPLOADING, Asset, MediaInfo
from framewire.v1.job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    JOB_STATE_WAITING_UPLOAD,
    Error,
    Event,
    FidelityReport,
    InputProbed,
    Job,
    Preview,
    Progress,
    Segment,
    StatusChange,
)
from framewire.work.v1.work_pb2 import JobOrder

# --- schema


async def test_migrations_make_exactly_the_tables_of_the_metadata(database):
    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, metadata)

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_gateways_that_start_together_migrate_once(database):
    await asyncio.gather(*(upgrade(database) for _ in range(4)))
    async with database.read() as connection:
        found = (await connection.execute(sa.text("SELECT workspace_id FROM workspaces"))).scalars().all()
    assert found == ["default"]


async def test_a_row_of_an_unknown_workspace_is_refused(stores):
    with pytest.raises(sa.exc.IntegrityError):
        await stores.reserve("nobody")


# --- assets


async def test_an_upload_is_reserved_then_ready(stores):
    reserved = await stores.reserve()
    assert (reserved.asset.state, reserved.asset.sha256) == (ASSET_STATE_UPLOADING, "")
    completed = await stores.assets.complete_upload(W, reserved.asset.asset_id, sha256="ab")
    assert (completed.asset.state, completed.asset.sha256) == (ASSET_STATE_READY, "ab")
    assert await stores.assets.get(W, reserved.asset.asset_id) == completed


async def test_completing_again_changes_nothing(stores):
    completed = await stores.ready()
    assert await stores.assets.complete_upload(W, completed.asset.asset_id, sha256="other") == completed


async def test_times_come_back_as_they_were_given(stores):
    reserved = await stores.reserve()
    again = await stores.assets.get(W, reserved.asset.asset_id)
    assert again.asset.create_time == reserved.asset.create_time
    assert again.asset.create_time.seconds > 1_700_000_000


async def test_ready_assets_are_listed_newest_first_in_pages(stores):
    made = sorted([(await stores.ready()).asset.asset_id for _ in range(5)], reverse=True)
    await stores.reserve()
    first = await stores.assets.list(W, limit=3)
    rest = await stores.assets.list(W, limit=3, before=first[-1].asset.asset_id)
    assert [each.asset.asset_id for each in [*first, *rest]] == made


async def test_another_workspace_does_not_see_an_asset(stores):
    asset_id = (await stores.ready()).asset.asset_id
    assert await stores.assets.list("other", limit=10) == []
    for attempt in (stores.assets.get("other", asset_id), stores.assets.delete("other", asset_id)):
        with pytest.raises(NotFound) as caught:
            await attempt
        assert caught.value.code == ErrorCode.ASSET_NOT_FOUND


async def test_a_deleted_asset_is_gone_and_its_bytes_are_to_be_deleted(stores):
    stored = await stores.ready()
    await stores.assets.delete(W, stored.asset.asset_id)
    with pytest.raises(NotFound):
        await stores.assets.get(W, stored.asset.asset_id)
    rows = await stores.outbox.take(10)
    assert [(row.kind, row.payload.decode()) for row in rows] == [(OutboxKind.DELETE_OBJECT, stored.object_key)]


async def test_an_asset_that_an_unfinished_job_needs_is_not_deleted(stores):
    job = await stores.queued()
    with pytest.raises(Conflict) as caught:
        await stores.assets.delete(W, job.input_asset_ids[0])
    assert caught.value.code == ErrorCode.ASSET_IN_USE
    await stores.fold(a_status(job, 9, JOB_STATE_FAILED, error=Error(code="X", message="no")))
    await stores.assets.delete(W, job.input_asset_ids[0])
    assert (await stores.jobs.get(W, job.job_id)).input_asset_ids == job.input_asset_ids


# --- what jobs cost


class Till:
    """Writes down what it is asked for, and refuses when told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.refuses = False

    async def reserve(self, connection: object, order: JobOrder) -> None:
        if self.refuses:
            raise Conflict("not enough credits")
        self.calls.append(("reserve", order.job_id))

    async def settle(self, connection: object, order: JobOrder, state: int) -> None:
        self.calls.append((f"settle {state}", order.job_id))


async def test_what_a_job_costs_is_reserved_with_it_and_settled_once(stores):
    till = Till()
    stores.jobs = JobStore(stores.database, reservations=till)
    job = await stores.queued()
    ended = a_status(job, 9, JOB_STATE_SUCCEEDED)
    await stores.fold(a_status(job, 8, JOB_STATE_RUNNING), ended)
    await stores.fold(ended)
    assert till.calls == [("reserve", job.job_id), (f"settle {JOB_STATE_SUCCEEDED}", job.job_id)]


async def test_a_retried_job_is_reserved_and_settled_again(stores):
    till = Till()
    stores.jobs = JobStore(stores.database, reservations=till)
    job = await stores.queued()
    await stores.fold(a_status(job, 9, JOB_STATE_FAILED, error=Error(code="X", message="no")))
    await stores.jobs.retry(W, job.job_id, attempts=lambda _: 2)
    await stores.fold(an_event(job, 10, 1, status=StatusChange(state=JOB_STATE_QUEUED)))
    await stores.fold(a_status(job, 11, JOB_STATE_SUCCEEDED, attempt=2))
    assert [call for call, _ in till.calls] == [
        "reserve", f"settle {JOB_STATE_FAILED}", "reserve", f"settle {JOB_STATE_SUCCEEDED}",
    ]  # fmt: skip


async def test_a_job_that_cannot_be_paid_leaves_nothing(stores):
    till = Till()
    till.refuses = True
    stores.jobs = JobStore(stores.database, reservations=till)
    stored = await stores.ready()
    await stores.sent()
    with pytest.raises(Conflict):
        await stores.jobs.create_job(an_order(stored.asset.asset_id))
    assert await stores.jobs.list(W, limit=10) == []
    assert await stores.kinds() == []


# --- creating jobs


async def test_a_job_its_event_and_its_order_are_stored_together(stores):
    stored = await stores.ready()
    job = await stores.jobs.create_job(an_order(stored.asset.asset_id))
    assert job.state == JOB_STATE_QUEUED
    assert (job.steps[0].enhance.scale, job.output.crf, job.priority) == (2, 0, 2)
    event, order = await stores.outbox.take(10)
    assert event.subject == order.subject == job.job_id
    assert Event.FromString(event.payload).status.state == JOB_STATE_QUEUED
    sent = JobOrder.FromString(order.payload)
    assert (sent.inputs[0].object_key, sent.inputs[0].sha256) == (stored.object_key, "ab")


async def test_the_outbox_says_when_it_was_filled(stores):
    stored = await stores.ready()
    assert not stores.database.outbox_filled.is_set()
    await stores.jobs.create_job(an_order(stored.asset.asset_id))
    assert stores.database.outbox_filled.is_set()


async def test_a_job_without_its_asset_leaves_nothing_behind(stores):
    with pytest.raises(NotFound) as caught:
        await stores.jobs.create_job(an_order(new_asset_id()))
    assert caught.value.code == ErrorCode.ASSET_NOT_FOUND
    assert await stores.jobs.list(W, limit=10) == []
    assert await stores.kinds() == []


async def test_a_job_waits_for_an_upload_and_is_queued_by_it(stores):
    reserved = await stores.reserve()
    job = await stores.jobs.create_job(an_order(reserved.asset.asset_id))
    assert job.state == JOB_STATE_WAITING_UPLOAD
    assert await stores.kinds() == [OutboxKind.APPEND_EVENT]
    await stores.assets.complete_upload(W, reserved.asset.asset_id, sha256="cd")
    assert (await stores.jobs.get(W, job.job_id)).state == JOB_STATE_QUEUED
    _waiting, queued, order = await stores.outbox.take(10)
    assert Event.FromString(queued.payload).status.state == JOB_STATE_QUEUED
    assert JobOrder.FromString(order.payload).inputs[0].sha256 == "cd"


async def test_a_job_with_two_inputs_is_queued_by_the_last_upload_whichever_that_is(stores):
    first, second = await stores.reserve(), await stores.reserve()
    job = await stores.jobs.create_job(an_order(first.asset.asset_id, second.asset.asset_id))
    await asyncio.gather(
        *(stores.assets.complete_upload(W, each.asset.asset_id, sha256="ab") for each in (first, second))
    )
    assert (await stores.jobs.get(W, job.job_id)).state == JOB_STATE_QUEUED
    assert (await stores.kinds()).count(OutboxKind.PUBLISH_ORDER) == 1


async def test_an_upload_that_ends_while_a_job_is_created_queues_it_once(database):
    stores = Stores(database, windows=lambda lane: 100)
    for _ in range(10):
        reserved = await stores.reserve()
        job, _ = await asyncio.gather(
            stores.jobs.create_job(an_order(reserved.asset.asset_id)),
            stores.assets.complete_upload(W, reserved.asset.asset_id, sha256="ab"),
        )
        assert (await stores.jobs.get(W, job.job_id)).state == JOB_STATE_QUEUED
    assert (await stores.kinds()).count(OutboxKind.PUBLISH_ORDER) == 10


async def test_fifty_creates_at_once_with_one_key_make_one_job(stores):
    asset_id = (await stores.ready()).asset.asset_id
    made = await asyncio.gather(
        *(stores.jobs.create_job(an_order(asset_id), idempotency_key="k", fingerprint="f") for _ in range(50))
    )
    assert len({job.job_id for job in made}) == 1
    assert len(await stores.jobs.list(W, limit=100)) == 1
    assert await stores.kinds() == [OutboxKind.APPEND_EVENT, OutboxKind.PUBLISH_ORDER]


async def test_a_key_used_for_another_request_is_refused(stores):
    asset_id = (await stores.ready()).asset.asset_id
    job = await stores.jobs.create_job(an_order(asset_id), idempotency_key="k", fingerprint="f")
    for attempt in (
        stores.jobs.create_job(an_order(asset_id), idempotency_key="k", fingerprint="g"),
        stores.jobs.find_request(W, "k", "g"),
    ):
        with pytest.raises(Conflict) as caught:
            await attempt
        assert caught.value.code == ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert await stores.jobs.find_request(W, "k", "f") == job
    assert await stores.jobs.find_request(W, "unused", "f") is None


async def test_jobs_without_a_key_are_never_the_same(stores):
    asset_id = (await stores.ready()).asset.asset_id
    made = [await stores.jobs.create_job(an_order(asset_id), fingerprint="f") for _ in range(2)]
    assert made[0].job_id != made[1].job_id


# --- looking at jobs


async def test_jobs_are_listed_newest_first_in_pages_and_by_state(stores):
    jobs = sorted([await stores.queued() for _ in range(4)], key=lambda job: job.job_id, reverse=True)
    await stores.fold(a_status(jobs[1], 5, JOB_STATE_RUNNING))
    first = await stores.jobs.list(W, limit=2)
    rest = await stores.jobs.list(W, limit=9, before=first[-1].job_id)
    assert [job.job_id for job in [*first, *rest]] == [job.job_id for job in jobs]
    running = await stores.jobs.list(W, limit=9, wanted=JobFilter(state=JOB_STATE_RUNNING))
    assert [job.job_id for job in running] == [jobs[1].job_id]


async def test_another_workspace_does_not_see_a_job(stores):
    job = await stores.queued()
    assert await stores.jobs.list("other", limit=9) == []
    for attempt in (stores.jobs.get("other", job.job_id), stores.jobs.request_cancel("other", job.job_id)):
        with pytest.raises(NotFound) as caught:
            await attempt
        assert caught.value.code == ErrorCode.JOB_NOT_FOUND


# --- cancelling


async def test_a_cancellation_is_noted_and_sent_once(stores):
    job = await stores.queued()
    for _ in range(2):
        assert (await stores.jobs.request_cancel(W, job.job_id)).cancel_requested
    assert (await stores.kinds())[2:] == [
        OutboxKind.REQUEST_CANCELLATION,
        OutboxKind.APPEND_EVENT,
        OutboxKind.REMOVE_ORDER,
    ]
    await stores.fold(a_status(job, 7, JOB_STATE_CANCELLED))
    after = await stores.jobs.get(W, job.job_id)
    assert (after.state, after.cancel_requested) == (JOB_STATE_CANCELLED, False)


async def test_a_job_that_has_ended_is_not_cancelled(stores):
    job = await stores.queued()
    await stores.fold(a_status(job, 7, JOB_STATE_SUCCEEDED))
    before = await stores.kinds()
    after = await stores.jobs.request_cancel(W, job.job_id)
    assert (after.state, after.cancel_requested) == (JOB_STATE_SUCCEEDED, False)
    assert await stores.kinds() == before


async def test_an_upload_does_not_queue_a_job_that_somebody_cancelled(stores):
    reserved = await stores.reserve()
    job = await stores.jobs.create_job(an_order(reserved.asset.asset_id))
    await stores.jobs.request_cancel(W, job.job_id)
    await stores.assets.complete_upload(W, reserved.asset.asset_id, sha256="ab")
    assert (await stores.jobs.get(W, job.job_id)).state == JOB_STATE_WAITING_UPLOAD
    assert OutboxKind.PUBLISH_ORDER not in await stores.kinds()


# --- folding events


async def test_a_batch_of_events_becomes_the_row(stores):
    job = await stores.queued()
    output = Asset(asset_id=new_asset_id(), filename="out.mp4", size_bytes=9, sha256="ef", state=ASSET_STATE_READY)
    output.media.duration = 2.5
    await stores.fold(
        a_status(job, 1, JOB_STATE_QUEUED, attempt=0),
        a_status(job, 2, JOB_STATE_RUNNING),
        an_event(job, 3, input=InputProbed(asset_id=job.input_asset_ids[0], media=MediaInfo(container="mov"))),
        an_event(job, 4, progress=Progress(stage="process", fraction=0.5)),
        an_event(job, 6, progress=Progress(stage="process", fraction=0.9)),
        a_status(job, 7, JOB_STATE_SUCCEEDED, outputs=[output], fidelity=FidelityReport(frames_in=3, frames_out=3)),
    )
    after = await stores.jobs.get(W, job.job_id)
    assert (after.state, after.last_event, after.attempt, after.worker) == (JOB_STATE_SUCCEEDED, 7, 1, "w1")
    assert (after.progress.fraction, after.fidelity.frames_out) == (0.9, 3)
    assert (after.start_time.seconds, after.end_time.seconds) == (1_700_000_002, 1_700_000_007)
    assert after.output_asset_ids == [output.asset_id]
    made = await stores.assets.get(W, output.asset_id)
    assert made.object_key == f"result/1/{output.asset_id}"
    assert (made.asset.source_job_id, made.asset.media.duration) == (job.job_id, 2.5)
    assert (await stores.assets.get(W, job.input_asset_ids[0])).asset.media.container == "mov"


async def test_folding_the_same_events_again_changes_nothing(stores):
    job = await stores.queued()
    output = Asset(asset_id=new_asset_id(), filename="out.mp4", size_bytes=9, state=ASSET_STATE_READY)
    events = [a_status(job, 2, JOB_STATE_RUNNING), a_status(job, 7, JOB_STATE_SUCCEEDED, outputs=[output])]
    await stores.fold(*events)
    before = await stores.jobs.get(W, job.job_id)
    await stores.fold(*events)
    assert await stores.jobs.get(W, job.job_id) == before
    async with stores.database.read() as connection:
        count = sa.select(sa.func.count()).select_from(asset_table)
        assert (await connection.execute(count)).scalar() == 2


async def test_an_event_that_comes_late_changes_no_state(stores):
    job = await stores.queued()
    await stores.fold(a_status(job, 5, JOB_STATE_RUNNING, attempt=2))
    await stores.fold(a_status(job, 3, JOB_STATE_QUEUED, attempt=1), an_event(job, 4, progress=Progress(fraction=0.1)))
    after = await stores.jobs.get(W, job.job_id)
    assert (after.state, after.last_event, after.attempt) == (JOB_STATE_RUNNING, 5, 2)
    assert not after.HasField("progress")


async def test_what_a_late_event_only_adds_is_added(stores):
    job = await stores.queued()
    await stores.fold(a_status(job, 7, JOB_STATE_SUCCEEDED))
    probed = InputProbed(asset_id=job.input_asset_ids[0], media=MediaInfo(container="mov"))
    await stores.fold(a_status(job, 2, JOB_STATE_RUNNING), an_event(job, 3, input=probed))
    after = await stores.jobs.get(W, job.job_id)
    assert (after.state, after.last_event, after.start_time.seconds) == (JOB_STATE_SUCCEEDED, 7, 1_700_000_002)
    assert (await stores.assets.get(W, job.input_asset_ids[0])).asset.media.container == "mov"


async def test_a_job_runs_whichever_of_its_worker_s_events_is_folded_first(stores):
    job = await stores.queued()
    await stores.fold(an_event(job, 3, progress=Progress(fraction=0.1)))  # another gateway has number 2 in its hands
    assert (await stores.jobs.get(W, job.job_id)).state == JOB_STATE_RUNNING
    await stores.fold(a_status(job, 2, JOB_STATE_RUNNING))
    after = await stores.jobs.get(W, job.job_id)
    assert (after.state, after.last_event, after.worker) == (JOB_STATE_RUNNING, 3, "w1")


async def test_a_late_begin_of_an_earlier_attempt_does_not_name_its_worker(stores):
    job = await stores.queued()
    late = a_status(job, 2, JOB_STATE_RUNNING)
    late.status.worker = "dead"
    await stores.fold(a_status(job, 5, JOB_STATE_RUNNING, attempt=2))
    await stores.fold(late)
    assert (await stores.jobs.get(W, job.job_id)).worker == "w1"


async def test_a_state_that_ends_the_job_is_final(stores):
    job = await stores.queued()
    await stores.fold(a_status(job, 5, JOB_STATE_CANCELLED))
    await stores.fold(a_status(job, 6, JOB_STATE_SUCCEEDED), an_event(job, 8, progress=Progress(fraction=1)))
    after = await stores.jobs.get(W, job.job_id)
    assert (after.state, after.last_event) == (JOB_STATE_CANCELLED, 5)


async def test_a_failure_keeps_its_code_and_message(stores):
    job = await stores.queued()
    await stores.fold(a_status(job, 5, JOB_STATE_FAILED, error=Error(code="MEDIA_UNREADABLE", message="not media")))
    after = await stores.jobs.get(W, job.job_id)
    assert (after.error.code, after.error.message) == ("MEDIA_UNREADABLE", "not media")


async def test_a_failure_is_recorded_whatever_its_message_says(stores):
    job = await stores.queued()
    error = Error(code="C" * 100, message="cut at \0 here")  # PostgreSQL's text takes no NUL
    await stores.fold(a_status(job, 5, JOB_STATE_FAILED, error=error))
    after = await stores.jobs.get(W, job.job_id)
    assert (after.state, after.error.code, after.error.message) == (JOB_STATE_FAILED, "C" * 64, "cut at \ufffd here")


async def test_a_retry_takes_the_row_back_to_queued(stores):
    job = await stores.queued()
    await stores.fold(a_status(job, 2, JOB_STATE_RUNNING), a_status(job, 3, JOB_STATE_QUEUED))
    after = await stores.jobs.get(W, job.job_id)
    assert (after.state, after.attempt, after.start_time.seconds) == (JOB_STATE_QUEUED, 1, 1_700_000_002)


async def test_the_log_of_a_waiting_job_does_not_take_back_what_its_upload_did(stores):
    job = await stores.queued()
    await stores.fold(a_status(job, 1, JOB_STATE_WAITING_UPLOAD, attempt=0))
    after = await stores.jobs.get(W, job.job_id)
    assert (after.state, after.last_event) == (JOB_STATE_QUEUED, 1)


async def test_events_of_jobs_nobody_knows_are_passed_over(stores):
    job = await stores.queued()
    stranger = Job(job_id=new_job_id())
    await stores.fold(a_status(stranger, 1, JOB_STATE_RUNNING), a_status(job, 2, JOB_STATE_RUNNING))
    assert (await stores.jobs.get(W, job.job_id)).state == JOB_STATE_RUNNING


async def test_batches_folded_at_once_end_in_the_newest_state(stores):
    job = await stores.queued()
    events = [an_event(job, number, progress=Progress(frames_done=number)) for number in range(1, 21)]
    await asyncio.gather(*(stores.fold(event) for event in events))
    after = await stores.jobs.get(W, job.job_id)
    assert (after.last_event, after.progress.frames_done) == (20, 20)


# --- the outbox


async def test_rows_of_the_outbox_stay_until_they_are_removed(stores):
    await stores.queued()
    rows = await stores.outbox.take(10)
    assert await stores.outbox.take(10) == rows
    await stores.outbox.remove([rows[0].outbox_id])
    await stores.outbox.remove([rows[0].outbox_id])
    assert await stores.outbox.take(10) == rows[1:]


async def test_the_outbox_is_taken_in_the_order_it_was_filled(stores):
    jobs = [await stores.queued() for _ in range(3)]
    rows = await stores.outbox.take(5)
    assert [row.subject for row in rows] == [jobs[0].job_id] * 2 + [jobs[1].job_id] * 2 + [jobs[2].job_id]


# --- transactions and settings


async def test_a_transaction_that_fails_leaves_nothing(database):
    async def change_and_fail() -> None:
        async with database.write() as connection:
            await connection.execute(sa.text("UPDATE workspaces SET workspace_id = 'gone'"))
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        await change_and_fail()
    async with database.read() as connection:
        found = (await connection.execute(sa.text("SELECT workspace_id FROM workspaces"))).scalars().all()
    assert found == ["default"]


async def test_a_sqlite_file_keeps_its_promises_over_power_loss(tmp_path):
    async with file_database(tmp_path) as database, database.read() as connection:
        found = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert found == ["wal", 2, 1, 10000]


async def test_a_transaction_the_server_rolled_back_may_be_tried_again(stores):
    if stores.database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer at a time: nothing to deadlock with")
    with pytest.raises(Unavailable):
        async with stores.database.write() as connection:
            await connection.execute(sa.text("DO $$ BEGIN RAISE deadlock_detected; END $$"))


async def test_a_database_that_does_not_answer_is_unavailable():
    database = Database.open("postgresql+asyncpg://framewire@127.0.0.1:1/none")
    with pytest.raises(Unavailable) as caught:
        await database.ping()
    assert caught.value.code == ErrorCode.DATABASE_UNAVAILABLE
    await database.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "sqlite:///sync.db"])
def test_a_url_of_another_kind_is_a_config_error(url):
    with pytest.raises(LocalError) as caught:
        Database.open(url)
    assert caught.value.code == ErrorCode.CONFIG_INVALID


@pytest.mark.parametrize("end", [JOB_STATE_SUCCEEDED, JOB_STATE_CANCELLED])
async def test_the_segments_of_a_job_that_is_over_are_deleted_once(stores, end):
    job = await stores.queued()
    await stores.sent()
    events = [a_status(job, 5, JOB_STATE_RUNNING), a_status(job, 6, end)]
    await stores.fold(*events)
    await stores.fold(*events)
    rows = await stores.outbox.take(9)
    assert [(row.kind, row.payload.decode()) for row in rows] == [
        (OutboxKind.DELETE_BELOW, f"{W}/segments/{job.job_id}/")
    ]


async def test_a_job_that_failed_keeps_its_segments(stores):
    job = await stores.queued()
    await stores.sent()
    await stores.fold(a_status(job, 5, JOB_STATE_RUNNING), a_status(job, 6, JOB_STATE_FAILED))
    assert await stores.outbox.take(9) == []


async def test_a_thumbnail_is_known_by_its_result_and_goes_with_it(stores):
    job = await stores.queued()
    end = a_status(job, 5, JOB_STATE_SUCCEEDED)
    end.status.outputs.add(asset_id=new_asset_id(), filename="x.mp4", state=ASSET_STATE_READY, has_thumbnail=True)
    await stores.fold(end)
    stored = await stores.assets.get(W, end.status.outputs[0].asset_id)
    assert stored.asset.has_thumbnail
    await stores.sent()
    await stores.assets.delete(W, stored.asset.asset_id)
    deleted = [row.payload.decode() for row in await stores.outbox.take(9)]
    assert deleted == [stored.object_key, stored.thumbnail_key]


async def test_segments_and_previews_are_passed_over_but_for_their_numbers(stores):
    job = await stores.queued()
    segment = an_event(job, 6, 1, segment=Segment(index=0, duration=2.0))
    preview = an_event(job, 7, 1, preview=Preview(before=b"jpeg", after=b"jpeg"))
    await stores.fold(a_status(job, 5, JOB_STATE_RUNNING), segment, preview)
    after = await stores.jobs.get(W, job.job_id)
    assert (after.state, after.attempt, after.last_event) == (JOB_STATE_RUNNING, 1, 7)
