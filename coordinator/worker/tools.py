"""What the parts of a worker share."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.inference.keeper import ModelKeeper
from coordinator.runner_pool import RunnerPool
from coordinator.settings import WorkerSettings
from coordinator.worker.scratch import Scratch
from coordinator.worker.transfer import Transfer
from framewire.bus.interface import Bus


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Chosen once, when the worker starts."""

    settings: WorkerSettings
    bus: Bus
    transfer: Transfer
    runners: RunnerPool
    scratch: Scratch
    models: ModelKeeper
