"""The names of objects. Chosen by the server from ids alone, never from what a client calls a file."""

from __future__ import annotations

KINDS = frozenset({"uploads/", "tails/", "assets/", "results/", "segments/", "thumbnails/"})
"""What lies in a workspace's folder."""
IDS = ("ast_", "job_")
"""What the names of all that lies in those begin with."""


def upload_key(workspace_id: str, asset_id: str) -> str:
    """Where a client's upload lies."""
    return f"{workspace_id}/uploads/{asset_id}"


def uploads_prefix(workspace_id: str) -> str:
    """What the keys of all of a workspace's uploads begin with."""
    return f"{workspace_id}/uploads/"


def tail_key(workspace_id: str, asset_id: str, offset: int) -> str:
    """Where the bytes from `offset` on lie that are too few for a part of the upload yet.

    The offset is part of the name: once a part holds these bytes, nothing asks for this tail any more.
    """
    return f"{tails_prefix(workspace_id, asset_id)}{offset:012d}"


def every_tail_prefix(workspace_id: str) -> str:
    """What the keys of all tails of a workspace begin with."""
    return f"{workspace_id}/tails/"


def tails_prefix(workspace_id: str, asset_id: str) -> str:
    """What the keys of all tails of an upload begin with."""
    return f"{every_tail_prefix(workspace_id)}{asset_id}/"


def asset_prefix(workspace_id: str, asset_id: str) -> str:
    """What the keys of all that was ever made of an upload begin with."""
    return f"{workspace_id}/assets/{asset_id}/"


def asset_key(workspace_id: str, asset_id: str, completion: str) -> str:
    """Where an upload's bytes lie once they are checked.

    `completion` is new each time somebody completes: a signed URL can still write to `upload_key`, so what was
    checked there may be something else a moment later.
    """
    return f"{asset_prefix(workspace_id, asset_id)}{completion}"


def result_key(workspace_id: str, job_id: str, attempt: int, asset_id: str) -> str:
    """Where an attempt puts its result.

    The attempt is part of the name: a stale worker that comes back cannot overwrite the result of
    the attempt that counts, whose event names the attempt.
    """
    return f"{results_prefix(workspace_id)}{job_id}/{attempt}/{asset_id}"


def results_prefix(workspace_id: str) -> str:
    """What the keys of all results of a workspace begin with."""
    return f"{workspace_id}/results/"


def segment_key(workspace_id: str, job_id: str, attempt: int, index: int) -> str:
    """Where an attempt puts a segment of its result.

    Whether it counts is said by the job's events, not by its being there.
    """
    return f"{segments_prefix(workspace_id, job_id)}{attempt}/{index:06d}.mp4"


def segment_record_key(workspace_id: str, job_id: str, attempt: int, index: int) -> str:
    """Where the record beside a segment lies: what a later attempt needs to go on behind it."""
    return f"{segments_prefix(workspace_id, job_id)}{attempt}/{index:06d}.record"


def segments_prefix(workspace_id: str, job_id: str) -> str:
    """What the keys of all of a job's segments and records begin with."""
    return f"{workspace_id}/segments/{job_id}/"


def thumbnail_key(workspace_id: str, job_id: str, attempt: int) -> str:
    """Where the small picture of an attempt's result lies."""
    return f"{workspace_id}/thumbnails/{job_id}/{attempt}.jpg"
