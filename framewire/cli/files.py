"""Files a command is given, checked before anything starts; and what came of them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from framewire.errors import ErrorCode, LocalError

_EBML = b"\x1a\x45\xdf\xa3"
_ENDINGS = {
    "mp4": (".mp4", ".m4v", ".mov"),
    "mov": (".mov", ".qt"),
    "matroska": (".mkv", ".mk3d"),
    "webm": (".webm", ".mkv"),
}
_NAMES = {"mp4": "MP4", "mov": "QuickTime", "matroska": "Matroska", "webm": "WebM"}


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
    if path.exists() and not path.is_file():
        raise _unwritable(f"{path} is not a file but a device, a pipe or a socket; give the name of a file")
    if clip is not None and path.exists() and path.samefile(clip):
        raise _unwritable(f"{path} is the input; choose another file for the result")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _unwritable(f"cannot write to {path.parent}: {error.strerror}") from None


def container_of(path: Path) -> str:
    """`mp4`, `mov`, `matroska` or `webm`, by a file's first bytes; empty when it is none of these or cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return ""
    if head.startswith(_EBML):
        return "webm" if b"webm" in head else "matroska"
    if head[4:8] == b"ftyp":
        return "mov" if head[8:12] == b"qt  " else "mp4"
    return ""


def container_warning(path: Path, container: str) -> str:
    """A sentence when a file's name promises another container than it is; empty otherwise."""
    usual = _ENDINGS.get(container, ())
    if not usual or path.suffix.lower() in usual:
        return ""
    return f"the container of {path} is {_NAMES[container]}: players expect its name to end in {usual[0]}"


def _unwritable(message: str) -> LocalError:
    return LocalError(message, code=ErrorCode.FILE_UNWRITABLE)
