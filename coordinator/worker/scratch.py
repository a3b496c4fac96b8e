"""Folders for running jobs. What a worker that died left behind is removed by the next one that starts."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PREFIX: Final = "worker-"
_LOCK: Final = "lock"


class Scratch:
    """A folder of this worker's own, under one that workers of a host share.

    Its owner holds a lock on a file in it for as long as it lives, so that anybody can tell a dead
    worker's folder without trusting process ids. Blocking: call it from a thread.
    """

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder = folder
        self._lock = lock

    @classmethod
    def open(cls, root: Path) -> Scratch:
        """Sweep dead workers' folders and make a new one. Raises OSError when `root` cannot be written."""
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(root / _LOCK):  # nobody sweeps a folder whose owner is just about to lock it
            sweep(root)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
            return cls(folder, _lock(folder / _LOCK))

    def job_folder(self, job_id: str) -> Path:
        """An empty folder for one attempt."""
        return Path(tempfile.mkdtemp(prefix=f"{job_id}-", dir=self._folder))

    def close(self) -> None:
        """Remove everything. Idempotent."""
        if self._lock >= 0:
            remove(self._folder)
            self.abandon()

    def abandon(self) -> None:
        """Let go of the folder as it is, as the end of the process does: the next worker sweeps it. Idempotent."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def sweep(root: Path) -> None:
    """Remove the folders of workers that do not live any more."""
    for folder in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # in use, or somebody was faster
            lock = _lock(folder / _LOCK, block=False)
            remove(folder)
            os.close(lock)


def remove(folder: Path) -> None:
    """Remove a folder, also one that a transfer which is just being abandoned still writes to."""
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = _lock(path)
    try:
        yield
    finally:
        os.close(lock)


def _lock(path: Path, *, block: bool = True) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if block else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
