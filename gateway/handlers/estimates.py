"""EstimateJob."""

from __future__ import annotations

import asyncio

from framewire.db.assets import AssetStore
from framewire.edits.exports.answer import cut_exports
from framewire.steps import catalogue, forecast
from framewire.steps.cut_silence import check_cuts
from framewire.steps.output import check_output
from framewire.v1.job_pb2 import EstimateJobRequest, EstimateJobResponse
from gateway.estimates import Estimates
from gateway.models import LiveModels
from gateway.pipeline import Call


class EstimateHandlers:
    """What jobs would make."""

    def __init__(self, assets: AssetStore, models: LiveModels, estimates: Estimates) -> None:
        self._assets = assets
        self._models = models
        self._estimates = estimates

    async def estimate_job(self, call: Call, request: EstimateJobRequest) -> EstimateJobResponse:
        """Refuse what CreateJob would refuse, look into the input, and say what follows."""
        check_output(request.output)
        check_cuts(request.steps)
        wanted = catalogue.models_of(request.steps)
        models = await self._models.in_lane(catalogue.lane_of(request.steps), missing=wanted)
        catalogue.check_models(request.steps, models, refused=await self._models.refused())
        stored = await self._assets.get(call.workspace_id, request.input_asset_ids[0])
        answer = await self._estimates.look(stored, request)
        forecast.complete(answer, request, models)
        await asyncio.to_thread(_export, answer, request, stored.asset.filename)
        return answer


def _export(answer: EstimateJobResponse, request: EstimateJobRequest, filename: str) -> None:
    for step in answer.steps:
        if step.HasField("cut"):
            step.cut.exports.extend(cut_exports(step.cut.cuts, answer.input, filename, request.exports))
