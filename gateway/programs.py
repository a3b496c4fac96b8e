"""Programs that look into a file, run once for each, bounded in time and in what they may say.

stdout    exit status 0: the answer; exit status 1: a framewire.v1.Error about the file or the question
anything else, a death by a signal aside, is a fault of the installation
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from framewire.errors import ErrorCode, FramewireError, MediaError, StepError
from framewire.v1.job_pb2 import Error

_REFUSED = 1
_OF_THE_STEP = {ErrorCode.STEP_INVALID, ErrorCode.CUT_NO_AUDIO, ErrorCode.CUT_NOTHING_LEFT}


class Unusable(Exception):
    """The program cannot be started, or did not do what it has to; a few words say what it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How one is run."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    timeout: float
    """Seconds it may take."""
    most_said: int = 1 << 20
    """Bytes of its answer."""

    async def ask(self, *arguments: str, question: bytes = b"") -> bytes:
        """Its answer; when this is cancelled the program is killed.

        Raises MediaError and StepError as the program says, MediaError when the file brings it down or it takes too
        long, Unusable, also when it says more than it may.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *self.argv,
                *arguments,
                stdin=asyncio.subprocess.PIPE if question else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env=self.environment,
                start_new_session=True,
            )
        except OSError as error:
            raise Unusable(f"it cannot be started: {error.strerror}") from None
        try:
            async with asyncio.timeout(self.timeout):
                _, said = await asyncio.gather(_tell(process, question), self._read(process))
                status = await process.wait()
        except TimeoutError:
            raise MediaError(f"looking into the file took longer than {self.timeout:g} s; export it again") from None
        finally:
            await _end(process)
        return _understood(status, said)

    async def _read(self, process: asyncio.subprocess.Process) -> bytes:
        if process.stdout is None:
            raise RuntimeError("its stdout is a pipe")
        said = b""
        while len(said) <= self.most_said and (piece := await process.stdout.read(self.most_said)):
            said += piece
        if len(said) > self.most_said:  # it waits for somebody who reads the rest
            raise Unusable(f"it says more than {self.most_said} bytes")
        return said


async def _tell(process: asyncio.subprocess.Process, question: bytes) -> None:
    if process.stdin is None:
        return
    with contextlib.suppress(ConnectionError):  # what it says tells why it did not listen
        process.stdin.write(question)
        await process.stdin.drain()
    process.stdin.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """The program and whatever it has started: it leads a group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(_gone(process))


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Read what it still said, too: asyncio does not call a process over while its pipe waits for a reader."""
    while process.stdout is not None and await process.stdout.read(1 << 16):
        pass
    await process.wait()


def _understood(status: int, said: bytes) -> bytes:
    if status < 0:
        raise MediaError("the file brings down what reads it; export it again")
    if status == 0:
        return said
    if status == _REFUSED:
        with contextlib.suppress(DecodeError, ValueError):
            raise _error(Error.FromString(said))
    raise Unusable(f"it ended with {status}")


def _error(error: Error) -> FramewireError:
    code = ErrorCode(error.code)
    return (StepError if code in _OF_THE_STEP else MediaError)(error.message, code=code)
