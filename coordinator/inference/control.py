"""Which models the server holds: looking, loading, unloading, measuring. Blocking, each call within a bound."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, Protocol

from tritonclient.grpc import service_pb2

from coordinator.inference.meter import MemoryMeter
from coordinator.inference.triton import TritonServer
from framewire.errors import ErrorCode, FramewireError, StepError, Unavailable
from framewire.steps.contract import ModelContract

LOAD_SECONDS: Final = 180.0
UNLOAD_SECONDS: Final = 30.0
_LOOK_AGAIN: Final = 0.05
_UNNAMED: Final = "triton"
WARM_UP: Final = (360, 640)
"""Height and width of the first picture a model is given, before it is measured."""


class ModelControl(Protocol):
    """The models of one server. All raise Unavailable (INFERENCE_UNAVAILABLE) when it does not answer."""

    def identity(self) -> str:
        """What tells this server from others, whatever address it is reached at."""

    def models(self) -> Mapping[str, bool]:
        """Every model of its repositories, and whether it is loaded."""

    def load(self, model: str) -> ModelContract:
        """Load it, anew when its files have changed. Its contract.

        Raises StepError: MODEL_UNKNOWN for one that is in no repository, MODEL_INVALID for one that cannot be loaded
        or says too little of itself; then it is not loaded.
        """

    def unload(self, model: str) -> None:
        """Unload it; its memory is free when this returns. Nothing happens when it is not loaded."""

    def warm_up(self, contract: ModelContract) -> None:
        """Run one picture, so that what the first one allocates is there. Raises WorkerError when the model fails."""

    def memory(self, model: str) -> int | None:
        """Bytes the loaded model holds now; None when that cannot be told from here."""

    def budget(self) -> int:
        """Bytes that models should hold together at most; 0 when that cannot be told from here."""

    def sweep_dead_regions(self) -> object:
        """Have the server forget shared memory of processes that are gone."""

    def close(self) -> None:
        """Disconnect. Idempotent."""


class TritonControl:
    """ModelControl over one connection to Triton."""

    def __init__(self, server: TritonServer, meter: MemoryMeter) -> None:
        self._server = server
        self._meter = meter

    def identity(self) -> str:
        """Triton's own name (`--id`) if it was given one, else its address."""
        name = str(self._server.ask("ServerMetadata", service_pb2.ServerMetadataRequest()).name)
        return self._server.url if name == _UNNAMED else name

    def models(self) -> Mapping[str, bool]:
        """As Triton's index has them; what is being unloaded is still loaded."""
        states = self._states()
        return {name: state in ("READY", "UNLOADING") for name, state in states.items()}

    def load(self, model: str) -> ModelContract:
        """Load, and read the contract."""
        if model not in self._states():
            raise StepError(f"there is no model {model} in the model repository", code=ErrorCode.MODEL_UNKNOWN)
        self._load(model)
        try:
            return self._server.contract(model)
        except StepError:
            self.unload(model)
            raise

    def unload(self, model: str) -> None:
        """Triton answers at once and unloads behind that: looked at until it is done."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=model)
        self._server.ask("RepositoryModelUnload", request, timeout=UNLOAD_SECONDS)
        until = time.monotonic() + UNLOAD_SECONDS
        while self._states().get(model) in ("UNLOADING", "READY"):
            if time.monotonic() > until:
                raise Unavailable(f"model {model} is not unloaded", code=ErrorCode.INFERENCE_UNAVAILABLE)
            time.sleep(_LOOK_AGAIN)

    def warm_up(self, contract: ModelContract) -> None:
        """A black picture of 640x360, or the next size that the model takes."""
        height, width = (-(-side // contract.size_multiple) * contract.size_multiple for side in WARM_UP)
        if 0 < contract.max_pixels < height * width:
            return
        arena = self._server.open_arena(
            block_bytes=max(height * width * 3 * contract.scale**2, contract.state_bytes(height, width)), blocks=5
        )
        try:
            blocks = [arena.acquire(timeout=1.0) for _ in range(5)]
            for block in blocks:
                block.array((block.size,))[...] = 0
            state = (blocks[2], blocks[3]) if contract.remembers else None
            mask = blocks[4] if contract.mask else None
            self._server.infer(
                contract, blocks[0], blocks[1], frames=1, height=height, width=width, state=state, mask=mask
            ).result(LOAD_SECONDS)
        finally:
            arena.close()

    def memory(self, model: str) -> int | None:
        """What its processes hold."""
        return self._meter.held_by(model)

    def budget(self) -> int:
        """What this machine allows."""
        return self._meter.budget()

    def sweep_dead_regions(self) -> int:
        """How many there were."""
        return self._server.sweep_dead_regions()

    def close(self) -> None:
        """Disconnect."""
        self._server.close()

    def _states(self) -> dict[str, str]:
        index = self._server.ask("RepositoryIndex", service_pb2.RepositoryIndexRequest())
        states: dict[str, str] = {}
        for model in index.models:
            if model.name.startswith("."):
                continue  # no model: a folder in which one is being made
            if states.get(model.name) != "READY":  # one entry a version
                states[model.name] = model.state
        return states

    def _load(self, model: str) -> None:
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        try:
            self._server.ask("RepositoryModelLoad", request, timeout=LOAD_SECONDS)
        except Unavailable:
            raise
        except FramewireError as error:
            raise StepError(
                f"model {model} cannot be loaded: {_reason(error)}", code=ErrorCode.MODEL_INVALID
            ) from error


def _reason(error: FramewireError) -> str:
    """Triton's words, without a backend's traceback."""
    text = error.message.split("At:")[0]
    if "failed to poll" in text:
        return "its folder or its config.pbtxt is not what Triton can read; Triton's log says more"
    return " ".join(text.split())[:500]
