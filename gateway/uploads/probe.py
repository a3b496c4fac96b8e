"""The program that looks into a file, run once for each upload, bounded in time and in what it may say.

argv      the configured command line, then the file's path and its kind
stdout    exit status 0: a framewire.v1.MediaInfo; exit status 1: a framewire.v1.Error about the file
anything else, a death by a signal aside, is a fault of the installation
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Protocol

from google.protobuf.message import DecodeError

from framewire.errors import ErrorCode, MediaError, Unavailable
from framewire.v1.asset_pb2 import MediaInfo
from framewire.v1.job_pb2 import Error
from gateway.uploads.settings import UploadSettings

_REFUSED = 1
_MOST_SAID = 1 << 20
log = logging.getLogger(__name__)


class Probe(Protocol):
    """Looks into files."""

    async def __call__(self, path: Path, kind: str) -> MediaInfo:
        """What is inside. Raises MediaError for a file nothing can be done with, Unavailable (PROBE_UNAVAILABLE)."""


class ProbeProgram:
    """A Probe that runs the configured program."""

    def __init__(self, settings: UploadSettings) -> None:
        self._argv = tuple(settings.probe)
        self._environment = dict(settings.probe_environment)
        self._timeout = settings.probe_timeout

    async def __call__(self, path: Path, kind: str) -> MediaInfo:
        """What is inside."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                str(path),
                kind,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise _unavailable(f"it cannot be started: {error.strerror}") from None
        try:
            async with asyncio.timeout(self._timeout):
                said = await _read(process)
                status = await process.wait()
        except TimeoutError:
            raise MediaError(f"looking into the file took longer than {self._timeout:g} s; export it again") from None
        finally:
            await _end(process)
        return _understood(status, said)


async def _read(process: asyncio.subprocess.Process) -> bytes:
    if process.stdout is None:
        raise RuntimeError("its stdout is a pipe")
    said = b""
    while len(said) <= _MOST_SAID and (piece := await process.stdout.read(_MOST_SAID)):
        said += piece
    return said


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.kill()
    await asyncio.shield(process.wait())


def _understood(status: int, said: bytes) -> MediaInfo:
    if status < 0:
        raise MediaError("the file brings down what reads it; export it again")
    try:
        if status == 0:
            return MediaInfo.FromString(said)
        if status == _REFUSED:
            error = Error.FromString(said)
            raise MediaError(error.message, code=ErrorCode(error.code))
    except (DecodeError, ValueError):
        pass
    raise _unavailable(f"it ended with {status}")


def _unavailable(words: str) -> Unavailable:
    log.error("the probe does not work: %s", words)
    return Unavailable("uploads cannot be looked into on this server", code=ErrorCode.PROBE_UNAVAILABLE)
