"""The models live workers serve."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from framewire.v1.operations_pb2 import RefusedModel
from framewire.v1.step_pb2 import Lane, ModelInfo
from framewire.work.v1.work_pb2 import WorkerStatus
from gateway.fleet import Fleet


class LiveModels:
    """What the fleet's workers announced."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def known(self) -> list[ModelInfo]:
        """Every model some live worker serves, by name."""
        return self._models(await self._fleet.live(), frozenset())

    async def in_lane(self, lane: Lane.ValueType, *, missing: Collection[str] = ()) -> list[ModelInfo]:
        """The models of the workers of one lane. When one of `missing` is not among them the board is asked again."""
        models = self._models(await self._fleet.live(), {lane})
        if set(missing) <= {model.name for model in models}:
            return models
        return self._models(await self._fleet.live(max_age=0.0), {lane})

    async def refused(self) -> dict[str, RefusedModel]:
        """Models that cannot be used, and why, by name, as workers that tried them say."""
        workers = await self._fleet.live()
        return {model.name: model for worker in workers for model in worker.model_memory.refused}

    @staticmethod
    def _models(workers: Sequence[WorkerStatus], lanes: Collection[int]) -> list[ModelInfo]:
        chosen = [worker for worker in workers if not lanes or set(worker.lanes) & set(lanes)]
        by_name = {model.name: model for worker in chosen for model in worker.models}
        return [by_name[name] for name in sorted(by_name)]
