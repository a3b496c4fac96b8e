"""StepService."""

from __future__ import annotations

from framewire.steps import catalogue
from framewire.v1.step_pb2 import GetStepRequest, ListStepsRequest, ListStepsResponse, StepInfo
from gateway.models import LiveModels
from gateway.pipeline import Call


class StepHandlers:
    """The catalogue with the models that are served now."""

    def __init__(self, models: LiveModels) -> None:
        self._models = models

    async def list_steps(self, call: Call, request: ListStepsRequest) -> ListStepsResponse:
        """Every step."""
        return ListStepsResponse(steps=catalogue.list_steps(await self._models.known()))

    async def get_step(self, call: Call, request: GetStepRequest) -> StepInfo:
        """One step."""
        return catalogue.get_step(request.name, await self._models.known())
