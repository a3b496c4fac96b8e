"""Where a benchmark works, and how it ends when something of Framewire fails."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from framewire.errors import FramewireError


@contextlib.contextmanager
def bench_folder() -> Iterator[Path]:
    """A folder that is gone afterwards; a FramewireError inside ends the program with one line and status 1."""
    with tempfile.TemporaryDirectory(prefix="framewire-bench-") as folder:
        try:
            yield Path(folder)
        except FramewireError as error:
            raise SystemExit(f"bench: {error.code}: {error.message}") from None
