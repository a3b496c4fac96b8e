"""Looks into one file, sandboxed: `python -m coordinator.probe PATH KIND` answers with a framewire.v1.MediaInfo.

coordinator/looking.py says how it answers and ends.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from coordinator import looking
from coordinator.media.survey import survey
from coordinator.sandbox import SandboxLimits
from framewire.v1.asset_pb2 import MediaInfo

_LIMITS = SandboxLimits(memory_bytes=2 << 30, open_files=64, attempt_seconds=30, least_file_bytes=1 << 20)
"""Enough for one picture of the largest size."""


def main(arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """The exit status."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m coordinator.probe PATH KIND\n")
        return 2
    path, kind = Path(arguments[0]), arguments[1]

    def look() -> MediaInfo:
        confine(path, variables)
        return survey(path, kind)

    return looking.answer(look)


def confine(path: Path, variables: Mapping[str, str]) -> None:
    """Give up everything but reading this file. Raises WorkerError (CONFIG_INVALID), LocalError."""
    looking.confine(path, variables, _LIMITS)


if __name__ == "__main__":
    looking.run(main)
