"""The children's log files."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

KEEP = 3
_TAIL_BYTES = 16 * 1024


def rotate(path: Path, *, keep: int = KEEP) -> None:
    """Move `x.log` to `x.log.1`, that to `x.log.2` and so on, forgetting the one after `keep`."""
    for number in range(keep, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        with contextlib.suppress(FileNotFoundError):
            newer.replace(older)


def tail(path: Path, *, lines: int = 12) -> str:
    """The last lines of a file; empty when there is none."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return "\n".join(file.read().decode(errors="replace").rstrip().splitlines()[-lines:])
    return ""
