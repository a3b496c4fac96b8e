"""Where a model is made before it is put into its repository."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from exporters.errors import ExportFailed
from framewire.errors import ErrorCode

_PREFIX = ".framewire-export-"
_YOUNG = 60.0
"""Seconds in which a folder may belong to somebody who has just made it and has not locked it yet."""


@contextlib.contextmanager
def workshop_beside(repository: Path) -> Iterator[Path]:
    """A folder on the repository's disk, so that a rename suffices.

    Beside the repository, where no server looks; in it only where it is a disk of its own, such as a volume. What
    those left who were killed is removed first. Raises ExportFailed (FILE_UNWRITABLE) when there can be none.
    """
    parent = repository.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if repository.is_dir() and repository.stat().st_dev != parent.stat().st_dev:
            parent = repository.absolute()
        _sweep(parent)
        temporary = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        reason = f"nothing can be written beside {repository}: {error.strerror}"
        raise ExportFailed(reason, code=ErrorCode.FILE_UNWRITABLE) from error
    with temporary as folder, _locked(Path(folder)):
        yield Path(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Holds the folder's lock inside, which ends with this process, too; False when somebody else holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sweep(parent: Path) -> None:
    for leftover in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # its owner has just removed it
            if time.time() - leftover.stat().st_mtime < _YOUNG:
                continue
            with _locked(leftover) as abandoned:
                if abandoned:
                    shutil.rmtree(leftover, ignore_errors=True)
