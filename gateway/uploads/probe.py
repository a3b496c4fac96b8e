"""The program that looks into uploads: its command line, then the file's path and its kind.

gateway/programs.py says how it is run. Its answer is a framewire.v1.MediaInfo.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

from google.protobuf.message import DecodeError

from framewire.errors import ErrorCode, Unavailable
from framewire.v1.asset_pb2 import MediaInfo
from gateway.programs import Program, Unusable
from gateway.uploads.settings import UploadSettings

log = logging.getLogger(__name__)


class Probe(Protocol):
    """Looks into files."""

    async def __call__(self, path: Path, kind: str) -> MediaInfo:
        """What is inside. Raises MediaError for a file nothing can be done with, Unavailable (PROBE_UNAVAILABLE)."""


class ProbeProgram:
    """A Probe that runs the configured program."""

    def __init__(self, settings: UploadSettings) -> None:
        self._program = Program(
            argv=tuple(settings.probe), environment=dict(settings.probe_environment), timeout=settings.probe_timeout
        )

    async def __call__(self, path: Path, kind: str) -> MediaInfo:
        """What is inside."""
        try:
            return MediaInfo.FromString(await self._program.ask(str(path), kind))
        except DecodeError:
            raise _unavailable("it does not answer with a MediaInfo") from None
        except Unusable as error:
            raise _unavailable(str(error)) from None


def _unavailable(words: str) -> Unavailable:
    log.error("the probe does not work: %s", words)
    return Unavailable("uploads cannot be looked into on this server", code=ErrorCode.PROBE_UNAVAILABLE)
