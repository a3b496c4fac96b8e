"""Model control without a model server: what is loaded is a set, what models hold is what the test says.

control = FakeModelControl({"large": 900, "small": 100}, unknown={"broken"})
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from framewire.errors import ErrorCode, StepError, Unavailable
from framewire.steps.contract import ModelContract
from framewire.testing.inference import fake_contract


class FakeModelControl:
    """Satisfies coordinator.inference.control.ModelControl. Keepers may share one, as workers share a server."""

    def __init__(self, sizes: Mapping[str, int], *, broken: Sequence[str] = (), allows: int = 0) -> None:
        self.sizes = dict(sizes)
        """Bytes by model."""
        self.broken = set(broken)
        self.contracts: dict[str, ModelContract] = {}
        """Of models that are not what fake_contract says."""
        self.loaded: set[str] = set()
        self.done: list[str] = []
        """`load NAME` and `unload NAME`, in order."""
        self.reachable = True
        self.sweeps = 0
        self.may_load = threading.Event()
        """Cleared: loading waits until it is set."""
        self.may_load.set()
        self._allows = allows

    @property
    def held(self) -> int:
        """Bytes of all that is loaded."""
        return sum(self.sizes[name] for name in self.loaded)

    def identity(self) -> str:
        """Always the same."""
        self._answer()
        return "fake"

    def models(self) -> Mapping[str, bool]:
        """All, and whether they are loaded."""
        self._answer()
        return {name: name in self.loaded for name in self.sizes}

    def load(self, model: str) -> ModelContract:
        """Raises StepError (MODEL_UNKNOWN, MODEL_INVALID)."""
        self._answer()
        if model not in self.sizes:
            raise StepError(f"there is no model {model}", code=ErrorCode.MODEL_UNKNOWN)
        self.may_load.wait(10.0)
        if model in self.broken:
            raise StepError(f"model {model} cannot be loaded: it is broken", code=ErrorCode.MODEL_INVALID)
        self.loaded.add(model)
        self.done.append(f"load {model}")
        return self.contracts.get(model) or fake_contract(model)

    def unload(self, model: str) -> None:
        """Nothing happens when it is not loaded."""
        self._answer()
        self.loaded.discard(model)
        self.done.append(f"unload {model}")

    def warm_up(self, contract: ModelContract) -> None:
        """Nothing to warm."""

    def memory(self, model: str) -> int | None:
        """What the test said."""
        return self.sizes[model] if model in self.loaded else None

    def budget(self) -> int:
        """What the test said."""
        return self._allows

    def sweep_dead_regions(self) -> None:
        """Counts."""
        self._answer()
        self.sweeps += 1

    def close(self) -> None:
        """Nothing to give back."""

    def _answer(self) -> None:
        if not self.reachable:
            raise Unavailable("the model server does not answer", code=ErrorCode.INFERENCE_UNAVAILABLE)
