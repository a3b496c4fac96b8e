"""Rows to messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp

from framewire.v1.asset_pb2 import Asset, AssetState, MediaInfo
from framewire.v1.job_pb2 import Error, FidelityReport, Job, JobState, Progress
from framewire.work.v1.work_pb2 import JobOrder

Row = sa.Row[Any]

_EPOCH = datetime.fromtimestamp(0, UTC)
_ASSET_STATES = {name.removeprefix("ASSET_STATE_"): value for name, value in AssetState.items()}
_JOB_STATES = {name.removeprefix("JOB_STATE_"): value for name, value in JobState.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAsset:
    """An asset and what only the server knows of it."""

    asset: Asset
    object_key: str
    """Where its bytes lie in the object store."""
    declared_sha256: str
    """What the client said they would hash to; empty when it did not say."""
    thumbnail_key: str = ""
    """Where its small picture lies; empty when there is none."""


def timestamp(time: datetime) -> Timestamp:
    """A protobuf time."""
    since = time - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def asset_state(name: str) -> AssetState.ValueType:
    """The state a row names."""
    return _ASSET_STATES[name]


def job_state(name: str) -> JobState.ValueType:
    """The state a row names."""
    return _JOB_STATES[name]


def stored_asset(row: Row) -> StoredAsset:
    """A row of `assets`."""
    asset = Asset(
        asset_id=row.asset_id,
        workspace_id=row.workspace_id,
        filename=row.filename,
        state=asset_state(row.state),
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        source_job_id=row.source_job_id,
        media=MediaInfo.FromString(row.media) if row.media is not None else None,
        create_time=timestamp(row.create_time),
        expire_time=timestamp(row.expire_time) if row.expire_time else None,
        has_thumbnail=bool(row.thumbnail_key),
    )
    return StoredAsset(
        asset=asset,
        object_key=row.object_key,
        declared_sha256=row.declared_sha256,
        thumbnail_key=row.thumbnail_key,
    )


def job(row: Row) -> Job:
    """A row of `jobs`."""
    order = JobOrder.FromString(row.job_order)
    return Job(
        job_id=row.job_id,
        workspace_id=row.workspace_id,
        state=job_state(row.state),
        input_asset_ids=[file.asset_id for file in order.inputs],
        steps=order.steps,
        output=order.output if order.HasField("output") else None,
        lane=order.lane,
        priority=order.priority,
        attempt=row.attempt,
        progress=Progress.FromString(row.progress) if row.progress is not None else None,
        output_asset_ids=row.output_asset_ids,
        fidelity=FidelityReport.FromString(row.fidelity) if row.fidelity is not None else None,
        error=Error(code=row.error_code, message=row.error_message) if row.error_code else None,
        last_event=row.last_event,
        create_time=timestamp(row.create_time),
        start_time=timestamp(row.start_time) if row.start_time else None,
        end_time=timestamp(row.end_time) if row.end_time else None,
        cancel_requested=row.cancel_requested,
        worker=row.worker,
        placement=row.placement,
        max_attempts=order.max_attempts,
    )
