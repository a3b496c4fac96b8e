"""Looks into one file, sandboxed: `python -m coordinator.probe PATH KIND`.

    stdout  a framewire.v1.MediaInfo, exit status 0; a framewire.v1.Error about the file, exit status 1
    exit    2 when it cannot look at all: the sandbox is required and not there, or the call is wrong

It gets one path to read and nothing else: no network, no other file, no program.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from coordinator.media.survey import survey
from coordinator.sandbox import Access, SandboxLimits, begin, enter, seal
from coordinator.settings import sandbox_mode
from framewire.environment import Environment
from framewire.errors import FramewireError, MediaError
from framewire.v1.job_pb2 import Error

_LIMITS = SandboxLimits(memory_bytes=2 << 30, open_files=64, attempt_seconds=30, least_file_bytes=1 << 20)
"""Enough for one picture of the largest size."""


def main(arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """The exit status."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m coordinator.probe PATH KIND\n")
        return 2
    path, kind = Path(arguments[0]), arguments[1]
    try:
        confine(path, variables)
        answer: bytes = survey(path, kind).SerializeToString()
        status = 0
    except MediaError as error:
        answer = Error(code=error.code, message=error.message).SerializeToString()
        status = 1
    except FramewireError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        return 2
    with os.fdopen(1, "wb", closefd=False) as out:
        out.write(answer)
    return status


def confine(path: Path, variables: Mapping[str, str]) -> None:
    """Give up everything but reading this file. Raises WorkerError (CONFIG_INVALID), LocalError."""
    mode = sandbox_mode(Environment(variables))
    begin(_LIMITS)
    enter(Access(read=(path,)), mode)
    seal(mode)


if __name__ == "__main__":
    status = main(sys.argv[1:], os.environ)
    sys.stderr.flush()
    os._exit(status)  # what threads of codecs still do is of no use to anybody
