"""What the local stack that runs in a data folder knows of models."""

from __future__ import annotations

import asyncio
import contextlib

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


async def is_offered(folder: DataFolder, model: str, *, within: float = 20.0) -> bool | None:
    """Whether the stack that runs in a data folder offers this model to jobs, within so many seconds.

    Its worker looks for new models every few seconds. None when no stack runs there.
    """
    state = folder.running()
    if state is None or not state.ready:
        return None
    with contextlib.suppress(FramewireError, TimeoutError):
        async with asyncio.timeout(within), Client(state.grpc) as client:
            for _ in range(int(within / _PAUSE)):  # nothing tells of a change of the catalogue
                if any(model == each.name for step in await client.steps() for each in step.models):
                    return True
                await asyncio.sleep(_PAUSE)
    return False
