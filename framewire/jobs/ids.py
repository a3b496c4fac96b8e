"""Ids: a prefix that says what it is, and a ULID, so that ids sort by the time they were made."""

from __future__ import annotations

from ulid import ULID


def new_asset_id() -> str:
    """`ast_` and 26 lower-case characters."""
    return f"ast_{str(ULID()).lower()}"


def new_job_id() -> str:
    """`job_` and 26 lower-case characters."""
    return f"job_{str(ULID()).lower()}"
