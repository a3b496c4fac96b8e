"""Where one attempt puts what it makes."""

from __future__ import annotations

from dataclasses import dataclass

from framewire.storage.keys import result_key, segments_prefix, thumbnail_key
from framewire.work.v1.work_pb2 import JobOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptKeys:
    """Keys in the object store."""

    result: str
    thumbnail: str
    segments: str
    """What the keys of the job's segments begin with, whatever attempt they are of."""

    @classmethod
    def of(cls, order: JobOrder, attempt: int) -> AttemptKeys:
        """Those of this attempt."""
        return cls(
            result=result_key(order.workspace_id, order.job_id, attempt, order.output_asset_id),
            thumbnail=thumbnail_key(order.workspace_id, order.job_id, attempt),
            segments=segments_prefix(order.workspace_id, order.job_id),
        )
