"""A small disk that can be full: a tmpfs in a mount namespace of its own, so that nobody has to be root."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers import stop, wait_until


@dataclass(frozen=True)
class SmallDisk:
    """The folder as programs started by `inside` see it."""

    folder: Path
    _holder: int

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs a program where the disk is mounted."""
        enter = ["nsenter", "-t", str(self._holder), "-U", "-m", "--preserve-credentials"]
        return [*enter, *argv]

    def fill(self) -> None:
        """Leave not one byte."""
        subprocess.run(
            self.inside(["dd", "if=/dev/zero", f"of={self.folder / 'ballast'}", "bs=4k"]),
            capture_output=True,
            timeout=20,
            check=False,  # it ends when nothing fits any more
        )

    def free(self) -> None:
        """Take away what `fill` has written."""
        subprocess.run(self.inside(["rm", str(self.folder / "ballast")]), timeout=20, check=True)


@contextlib.contextmanager
def small_disk(place: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """A disk of this size over a folder in `place`; skips the test where the system allows no such thing."""
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        pytest.skip("unshare and nsenter are not installed")
    folder, ready = place / "disk", place / "disk.ready"
    folder.mkdir()
    script = f"mount -t tmpfs -o size={megabytes}m tmpfs '{folder}' && touch '{ready}' && exec sleep infinity"
    holder = subprocess.Popen(
        ["unshare", "-Urm", "sh", "-c", script], stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: ready.exists() or holder.poll() is not None, "the small disk")
        if not ready.exists():
            pytest.skip("this system gives no mount namespaces to users")
        yield SmallDisk(folder, holder.pid)
    finally:
        stop(holder)
