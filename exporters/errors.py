"""What goes wrong while a model is made, brought in or looked at."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from framewire.errors import ErrorCode, LocalError


class ExportFailed(LocalError):
    """A model was not accepted, and nothing of it was kept; the message says why."""

    default_code = ErrorCode.MODEL_INVALID


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """A disk that is full, a folder nobody may write to: ExportFailed (FILE_UNWRITABLE) inside this block."""
    try:
        yield
    except BrokenPipeError:  # of who reads what is printed
        raise
    except OSError as error:
        raise ExportFailed(f"{what} cannot be written: {_reason(error)}", code=ErrorCode.FILE_UNWRITABLE) from error


def _reason(error: OSError) -> str:
    """In the system's words; copying a tree says it of each file."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"
