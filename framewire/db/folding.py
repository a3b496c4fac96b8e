"""How events change the rows. The log is the truth; a row is what the log came to, as far as it was folded.

The feed delivers at least once and, after a crash, sometimes late. So: an event whose number is not above the row's
`last_event` changes no state, a state that ends the job is left only as framewire/jobs/states.py allows, and what an
event adds and never takes back (media facts, the time of the start) is taken from late events too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from framewire.db import outbox
from framewire.db.releasing import Place
from framewire.db.reservations import Reservations
from framewire.db.rows import Row, job_state
from framewire.db.tables import assets, jobs
from framewire.jobs.states import FINAL, TERMINAL, can_follow, state_name
from framewire.v1.asset_pb2 import Asset, AssetState
from framewire.v1.job_pb2 import JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED, JOB_STATE_WAITING_UPLOAD, Event
from framewire.work.v1.work_pb2 import JobOrder

NOT_ENDED: dict[str, Any] = {"end_time": None, "error_code": "", "error_message": "", "segments_gone": False}
"""What a row says of its end while there is none."""
_ENDED = frozenset(state_name(state) for state in TERMINAL)
_OVER = frozenset(state_name(state) for state in FINAL)
_ROWS = (
    sa.select(jobs)
    .where(jobs.c.job_id.in_(sa.bindparam("job_ids", expanding=True)))
    .order_by(jobs.c.job_id)
    .with_for_update()
)
_UPDATE = jobs.update().where(jobs.c.job_id == sa.bindparam("of_job"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKeys:
    """Where things lie in the object store, which this package does not know."""

    result: Callable[[Event, Asset], str]
    """A result, told of by the event that ended its job."""
    thumbnail: Callable[[Event], str]
    """Its thumbnail."""
    segments: Callable[[str, str], str]
    """What the keys of a job's segments begin with, by workspace and job."""


async def fold(
    connection: AsyncConnection, events: Sequence[Event], keys: ObjectKeys, reservations: Reservations
) -> set[Place]:
    """Fold events of any number of jobs: one look at all their rows, one update for all that change alike.

    Returns where jobs ended, and made room for others.
    """
    ended: set[Place] = set()
    changes = _Changes()
    in_order = sorted(events, key=lambda event: (event.job_id, event.number))
    groups = {job_id: list(group) for job_id, group in groupby(in_order, key=lambda event: event.job_id)}
    for row in await _locked(connection, groups):
        state = await _fold_job(connection, row, groups[row.job_id], keys, changes)
        if state in _ENDED:
            ended.add(Place(row.workspace_id, row.lane, row.priority))
        if state in _OVER and row.state not in _OVER:
            prefix = keys.segments(row.workspace_id, row.job_id)
            await outbox.delete_segments(connection, row.workspace_id, row.job_id, prefix)
        if state in _ENDED and row.state not in _ENDED:
            await reservations.settle(connection, JobOrder.FromString(row.job_order), job_state(state))
    await changes.write(connection)
    return ended


async def _locked(connection: AsyncConnection, job_ids: Collection[str]) -> Sequence[Row]:
    """The rows of those that are known. Everybody takes the locks in the order of the ids."""
    return (await connection.execute(_ROWS, {"job_ids": sorted(job_ids)})).all()


class _Changes:
    """What becomes of rows, by the columns that change: most jobs of a batch say how far they are and nothing else."""

    def __init__(self) -> None:
        self._alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}

    def add(self, job_id: str, change: dict[str, Any]) -> None:
        """Of one job, once."""
        columns = tuple(sorted(change))
        self._alike.setdefault(columns, []).append({"of_job": job_id, **{name: change[name] for name in columns}})

    async def write(self, connection: AsyncConnection) -> None:
        """One statement for all that change alike."""
        for rows in self._alike.values():
            await connection.execute(_UPDATE, rows)


async def _fold_job(
    connection: AsyncConnection, row: Row, events: Sequence[Event], keys: ObjectKeys, changes: _Changes
) -> str:
    """Returns the state the job comes to."""
    change: dict[str, Any] = {}
    for event in events:
        if event.WhichOneof("kind") == "input":
            await _store_media(connection, event)
        _note_begin(change, row, event)
        if event.number <= change.get("last_event", row.last_event) or _too_late(change.get("state", row.state), event):
            continue
        _apply(change, event)
        for output in event.status.outputs:
            await _insert_output(connection, event, output, keys)
    if change:
        changes.add(row.job_id, change)
    return str(change.get("state", row.state))


def _too_late(state: str, event: Event) -> bool:
    """The job has ended, and this event does not open it again."""
    return state in _ENDED and not can_follow(job_state(state), event.status.state)


def _note_begin(change: dict[str, Any], row: Row, event: Event) -> None:
    if event.status.state != JOB_STATE_RUNNING:
        return
    if row.start_time is None and "start_time" not in change:
        change["start_time"] = event.time.ToDatetime(UTC)
    if event.status.worker and event.attempt == change.get("attempt", row.attempt):
        change["worker"] = _text(event.status.worker, 255)


def _apply(change: dict[str, Any], event: Event) -> None:
    change["last_event"] = event.number
    change["attempt"] = event.attempt
    if event.WhichOneof("kind") == "status":
        _apply_status(change, event)
        return
    # only a worker says anything else, and only while the job runs: its RUNNING may still be on its way to here
    change["state"] = state_name(JOB_STATE_RUNNING)
    if event.WhichOneof("kind") == "progress":
        change["progress"] = event.progress.SerializeToString()


def _apply_status(change: dict[str, Any], event: Event) -> None:
    status = event.status
    if status.state == JOB_STATE_WAITING_UPLOAD:
        return  # the row began there, and may have left since: the upload moves the row before the log
    change["state"] = state_name(status.state)
    if status.worker:
        change["worker"] = _text(status.worker, 255)
    if status.state == JOB_STATE_RUNNING:
        change |= {"placement": status.placement, "released": True}  # a worker has it, whatever this database forgot
    if status.state not in TERMINAL:
        change |= NOT_ENDED
        return
    change |= {"end_time": event.time.ToDatetime(UTC), "cancel_requested": False}
    if status.HasField("error"):
        change |= {"error_code": _text(status.error.code, 64), "error_message": _text(status.error.message)}
    if status.state == JOB_STATE_SUCCEEDED:
        change["output_asset_ids"] = [output.asset_id for output in status.outputs]
        change["fidelity"] = status.fidelity.SerializeToString()


def _text(text: str, longest: int | None = None) -> str:
    """What PostgreSQL takes as text: a NUL in a message must not keep the end of a job from being recorded."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:longest]


async def _store_media(connection: AsyncConnection, event: Event) -> None:
    probed = event.input
    query = assets.update().where(assets.c.asset_id == probed.asset_id, assets.c.workspace_id == event.workspace_id)
    await connection.execute(query.values(media=probed.media.SerializeToString()))


async def _insert_output(connection: AsyncConnection, event: Event, output: Asset, keys: ObjectKeys) -> None:
    created = output.create_time if output.HasField("create_time") else event.time
    values = {
        "asset_id": output.asset_id,
        "workspace_id": event.workspace_id,
        "filename": _text(output.filename, 255),
        "state": AssetState.Name(output.state).removeprefix("ASSET_STATE_"),
        "size_bytes": output.size_bytes,
        "declared_sha256": "",
        "sha256": output.sha256,
        "object_key": keys.result(event, output),
        "source_job_id": event.job_id,
        "media": output.media.SerializeToString() if output.HasField("media") else None,
        "thumbnail_key": keys.thumbnail(event) if output.has_thumbnail else "",
        "create_time": created.ToDatetime(UTC),
        "expire_time": output.expire_time.ToDatetime(UTC) if output.HasField("expire_time") else None,
    }
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    await connection.execute(dialect.insert(assets).values(values).on_conflict_do_nothing())
