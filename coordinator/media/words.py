"""Words out of a stranger's file, as short as an event of a job's log has to be."""

from __future__ import annotations

from typing import Final

MOST: Final = 120
"""Characters of one tag, one name, one title that are passed on."""


def shortened(text: str) -> str:
    """The text, or its beginning with an ellipsis when it has more than MOST characters."""
    return text if len(text) <= MOST else text[: MOST - 1] + "…"
