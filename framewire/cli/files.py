"""Files a command is given, checked before anything starts."""

from __future__ import annotations

import tempfile
from pathlib import Path

from framewire.errors import ErrorCode, LocalError


def check_input(path: Path) -> None:
    """Raises LocalError (FILE_NOT_FOUND) unless this is a file that can be read."""
    if not path.exists():
        raise LocalError(f"there is no file {path}", code=ErrorCode.FILE_NOT_FOUND)
    if not path.is_file():
        raise LocalError(f"{path} is not a file", code=ErrorCode.FILE_NOT_FOUND)
    try:
        path.open("rb").close()
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}", code=ErrorCode.FILE_NOT_FOUND) from None


def check_output(path: Path, clip: Path | None = None) -> None:
    """Raises LocalError (FILE_UNWRITABLE) unless a result can be put there without touching `clip`."""
    if path.is_dir():
        raise _unwritable(f"{path} is a folder; give the name of a file")
    if clip is not None and path.exists() and path.samefile(clip):
        raise _unwritable(f"{path} is the input; choose another file for the result")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _unwritable(f"cannot write to {path.parent}: {error.strerror}") from None


def _unwritable(message: str) -> LocalError:
    return LocalError(message, code=ErrorCode.FILE_UNWRITABLE)
