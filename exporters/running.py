"""What the local stack that runs in a data folder knows of models."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import grpc
from tritonclient import grpc as tritongrpc
from tritonclient.utils import InferenceServerException

from framewire.client import Client
from framewire.errors import FramewireError
from framewire.stack import triton
from framewire.stack.folder import DataFolder

_TIMEOUT = 5.0
_PAUSE = 0.2


def loaded_models(folder: DataFolder) -> set[str] | None:
    """Names of those its Triton holds; None when no stack runs there, or its Triton does not answer."""
    state = folder.running()
    address = next((each.address for each in state.services if each.name == "triton"), "") if state else ""
    if not address:
        return None
    headers = {f"triton-grpc-protocol-{triton.TRITON_KEY_HEADER}": folder.keys().triton_key}
    with (
        contextlib.suppress(InferenceServerException, grpc.RpcError),
        tritongrpc.InferenceServerClient(address) as client,
    ):
        index = client.get_model_repository_index(headers=headers, client_timeout=_TIMEOUT)
        return {model.name for model in index.models if model.state == "READY"}
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """Whether jobs can use a model."""

    really: bool
    why: str = ""
    """Why not, as the worker says; neutral value: "", it has said nothing."""


async def is_offered(folder: DataFolder, model: str, *, since: float, within: float = 20.0) -> Offered | None:
    """Whether the stack that runs in a data folder offers this model to jobs, within so many seconds.

    Its worker looks for new models every few seconds; what it said of the model before `since`, in seconds since 1970,
    was about another one of this name. None when no stack runs there.
    """
    state = folder.running()
    if state is None or not state.ready:
        return None
    with contextlib.suppress(FramewireError, TimeoutError):
        async with asyncio.timeout(within), Client(state.grpc) as client:
            for _ in range(int(within / _PAUSE)):  # nothing tells of a change of the catalogue
                if any(model == each.name for step in await client.steps() for each in step.models):
                    return Offered(really=True)
                if why := await _refusal(client, model, since):
                    return Offered(really=False, why=why)
                await asyncio.sleep(_PAUSE)
    return Offered(really=False)


async def _refusal(client: Client, model: str, since: float) -> str:
    """What a worker has said against it since then."""
    for worker in await client.operations.workers():
        for refused in worker.model_memory.refused:
            if refused.name == model and refused.time.ToNanoseconds() / 1e9 >= since:
                return refused.reason
    return ""
