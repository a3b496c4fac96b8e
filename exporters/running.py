"""Which models the Triton of the local stack that runs in a data folder holds."""

from __future__ import annotations

import contextlib

import grpc
from tritonclient import grpc as tritongrpc
from tritonclient.utils import InferenceServerException

from framewire.stack import triton
from framewire.stack.folder import DataFolder

_TIMEOUT = 5.0


def loaded_models(folder: DataFolder) -> set[str] | None:
    """Their names; None when no stack runs there, or its Triton does not answer."""
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
