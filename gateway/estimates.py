"""What jobs would make, without making it: an input's bytes are fetched and a program of its own looks into them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError

from framewire.db.rows import StoredAsset
from framewire.errors import Conflict, ErrorCode, TooMuch, Unavailable
from framewire.storage.interface import ObjectStore
from framewire.v1.asset_pb2 import ASSET_STATE_READY
from framewire.v1.job_pb2 import EstimateJobRequest, EstimateJobResponse
from gateway.programs import Program, Unusable
from gateway.uploads.checker import TEMPORARY

_PREFIX = f"{TEMPORARY}estimate-"
_MOST_SAID = 4 << 20
_PAUSE = 5.0  # seconds after which there may be room for one more
_STOP_SECONDS = 5.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateSettings:
    """Frozen; the gateway's main reads it from the environment."""

    program: Sequence[str] = ()
    """The command line of the program that looks into inputs; without one there are no estimates."""
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 300.0
    """Seconds the program may take, and seconds fetching an input may take."""
    at_once: int = 2
    """Estimates at the same time; that many of the largest inputs have to fit in `scratch`."""
    waiting: int = 16
    """Those that wait for their turn: each holds one of the places for calls, which all other calls need too."""
    scratch: Path | None = None
    """Where an input lies meanwhile; the system's folder for temporary files when None."""


class Estimates:
    """Looks into inputs, a few at a time. Cancelling a look ends its program and deletes what was fetched."""

    def __init__(self, store: ObjectStore, settings: EstimateSettings) -> None:
        self._store = store
        self._settings = settings
        self._places = asyncio.Semaphore(settings.at_once)
        self._looks: set[asyncio.Task[EstimateJobResponse]] = set()
        self._program = Program(
            argv=tuple(settings.program),
            environment=dict(settings.environment),
            timeout=settings.timeout,
            most_said=_MOST_SAID,
        )

    async def look(self, stored: StoredAsset, request: EstimateJobRequest) -> EstimateJobResponse:
        """The input, and of each step what only its bytes tell; framewire/steps/forecast.py completes it.

        Raises Conflict (ASSET_NOT_READY), MediaError, StepError; Unavailable: ESTIMATE_UNAVAILABLE,
        STORE_UNAVAILABLE, DEADLINE_EXCEEDED; TooMuch (OVERLOADED) when too many wait.
        """
        if stored.asset.state != ASSET_STATE_READY:
            raise Conflict("the asset's upload is not complete", code=ErrorCode.ASSET_NOT_READY)
        if not self._settings.program:
            raise _unavailable("no program is configured; set FRAMEWIRE_ESTIMATE")
        if len(self._looks) >= self._settings.at_once + self._settings.waiting:
            raise TooMuch("too many estimates are waiting", code=ErrorCode.OVERLOADED, retry_after=_PAUSE)
        look = asyncio.create_task(self._look(stored.object_key, request))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
        try:
            return await asyncio.shield(look)
        finally:
            look.cancel()

    async def stop(self) -> None:
        """End what is going on, and wait until its files are gone. Idempotent."""
        looks = list(self._looks)
        for look in looks:
            look.cancel()
        if looks:
            await asyncio.wait(looks, timeout=_STOP_SECONDS)

    async def _look(self, key: str, request: EstimateJobRequest) -> EstimateJobResponse:
        async with self._places:
            with _file(self._settings.scratch) as path:
                await self._fetch(key, path)
                return await self._ask(path, request)

    async def _fetch(self, key: str, path: Path) -> None:
        """In pieces: a thread that fetched all of it would go on after a cancellation, and put the file back."""
        try:
            async with asyncio.timeout(self._settings.timeout):
                with path.open("wb") as file:
                    async for piece in self._store.read(key):
                        await asyncio.to_thread(file.write, piece)
        except TimeoutError:
            raise Unavailable("the input could not be read in time", code=ErrorCode.DEADLINE_EXCEEDED) from None

    async def _ask(self, path: Path, request: EstimateJobRequest) -> EstimateJobResponse:
        try:
            said = await self._program.ask(str(path), question=request.SerializeToString())
            return EstimateJobResponse.FromString(said)
        except DecodeError:
            raise _unavailable("the program does not answer with an EstimateJobResponse") from None
        except Unusable as error:
            raise _unavailable(str(error)) from None


@contextlib.contextmanager
def _file(scratch: Path | None) -> Iterator[Path]:
    descriptor, name = tempfile.mkstemp(prefix=_PREFIX, dir=scratch)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _unavailable(words: str) -> Unavailable:
    log.error("estimates do not work: %s", words)
    return Unavailable("this server makes no estimates", code=ErrorCode.ESTIMATE_UNAVAILABLE, retryable=False)
