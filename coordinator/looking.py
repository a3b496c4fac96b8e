"""Programs that look into one file, sandboxed, and answer with one message.

    stdout  the answer, exit status 0; a framewire.v1.Error about the file or the question, exit status 1
    exit    2 when they cannot look at all: the sandbox is required and not there, or the call is wrong

They get one path to read and nothing else: no network, no other file, no program.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from google.protobuf.message import Message

from coordinator.sandbox import Access, SandboxLimits, begin, enter, seal
from coordinator.settings import sandbox_mode
from framewire.environment import Environment
from framewire.errors import FramewireError, MediaError, StepError
from framewire.v1.job_pb2 import Error


def answer(look: Callable[[], Message]) -> int:
    """Write what `look` gives; returns the exit status."""
    try:
        said: bytes = look().SerializeToString()
        status = 0
    except (MediaError, StepError) as error:
        said = Error(code=error.code, message=error.message).SerializeToString()
        status = 1
    except FramewireError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        return 2
    with os.fdopen(1, "wb", closefd=False) as out:
        out.write(said)
    return status


def confine(path: Path, variables: Mapping[str, str], limits: SandboxLimits) -> None:
    """Give up everything but reading this file. Raises WorkerError (CONFIG_INVALID), LocalError."""
    mode = sandbox_mode(Environment(variables))
    begin(limits)
    enter(Access(read=(path,)), mode)
    seal(mode)


def run(main: Callable[[Sequence[str], Mapping[str, str]], int]) -> NoReturn:
    """A whole program."""
    status = main(sys.argv[1:], os.environ)
    sys.stderr.flush()
    os._exit(status)  # what threads of codecs still do is of no use to anybody
