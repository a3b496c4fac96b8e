"""Page tokens: the last id of a page and the list it belongs to, opaque to clients."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import TypeVar

from framewire.errors import ErrorCode, InvalidRequest, Violation

DEFAULT_PAGE_SIZE = 50
_Item = TypeVar("_Item")


def page_limit(page_size: int) -> int:
    """Items of a page. One more is to be asked for, to know whether there is a next page."""
    return page_size or DEFAULT_PAGE_SIZE


def page_token(kind: str, last_id: str) -> str:
    """A token that continues the list `kind` after `last_id`."""
    return base64.urlsafe_b64encode(json.dumps([kind, last_id]).encode()).decode().rstrip("=")


def page_start(kind: str, token: str) -> str:
    """The id after which the page begins; empty for the first. Raises InvalidRequest (PAGE_TOKEN_INVALID)."""
    if not token:
        return ""
    try:
        made_for, last_id = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, TypeError):
        raise _invalid() from None
    if made_for != kind or not isinstance(last_id, str):
        raise _invalid()
    return last_id


def cut(items: Sequence[_Item], limit: int) -> tuple[Sequence[_Item], bool]:
    """The items of the page, and whether there are more."""
    return items[:limit], len(items) > limit


def _invalid() -> InvalidRequest:
    message = "this page token was not made by this list"
    return InvalidRequest(message, code=ErrorCode.PAGE_TOKEN_INVALID, violations=[Violation("page_token", message)])
