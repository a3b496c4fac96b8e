"""What a runner is told before it has a job, so that it is ready when one comes: its folder and its model server.

A sandbox only takes rights away, so it can be entered ahead only when it is known what the job will need: one folder,
in which the worker will put the job's files, and one address. Both travel in the runner's environment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from coordinator.settings import inference_address
from framewire.environment import Environment
from framewire.work.v1.work_pb2 import InferenceAddress

FOLDER: Final = "FRAMEWIRE_RUNNER_FOLDER"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerPlace:
    """Where a runner will work."""

    folder: Path
    """All files of its job will be below it, and nobody else's."""
    inference: InferenceAddress

    @classmethod
    def of(cls, environment: Environment) -> RunnerPlace | None:
        """The place these variables name; None when they name none."""
        folder = environment.text(FOLDER, "")
        return cls(folder=Path(folder), inference=inference_address(environment)) if folder else None

    @property
    def variables(self) -> dict[str, str]:
        """What `of` reads."""
        return {
            FOLDER: str(self.folder),
            "FRAMEWIRE_TRITON_URL": self.inference.url,
            "FRAMEWIRE_TRITON_KEY": self.inference.key,
            "FRAMEWIRE_TRITON_SHARED_MEMORY": "yes" if self.inference.shared_memory else "no",
        }


@runtime_checkable
class TellsOfLoss(Protocol):
    """A connection that says when it is gone."""

    def when_lost(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` called, from any thread, when it is; returns what ends the watch."""
