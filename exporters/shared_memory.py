"""A request whose tensors lie in memory that this process and Triton share."""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
from pathlib import Path
from types import TracebackType

import numpy as np
from tritonclient import grpc as tritongrpc
from tritonclient.utils import np_to_triton_dtype

from exporters.declaration import OUTPUT, Model, Tensors
from exporters.serving import Served

_FOLDER = Path("/dev/shm")  # noqa: S108 - where POSIX keeps shared memory, not a temporary folder


class SharedRequest:
    """One request that can be run many times; its memory is gone, on the server too, when the block ends."""

    def __init__(self, served: Served, model: Model, feeds: Tensors) -> None:
        self._served = served
        self._model = model
        self._feeds = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
        self._region = f"framewire-bench-{secrets.token_hex(6)}"
        self._sizes = {**{name: array.nbytes for name, array in self._feeds.items()}, **self._output_sizes()}

    def __enter__(self) -> SharedRequest:
        size = sum(map(_aligned, self._sizes.values()))
        file = os.open(_FOLDER / self._region, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.ftruncate(file, size)
            self._memory = mmap.mmap(file, size)
            self._served.client.register_system_shared_memory(
                self._region, f"/{self._region}", size, headers=self._served.headers
            )
        finally:
            os.close(file)
            (_FOLDER / self._region).unlink(missing_ok=True)
        self._inputs, self._outputs = self._place()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):  # the server may be gone, and what it mapped with it
            self._served.client.unregister_system_shared_memory(self._region, headers=self._served.headers)
        self._memory.close()

    def run(self) -> Tensors:
        """Run it once; the results are in the shared memory."""
        self._served.client.infer(self._model.name, self._inputs, outputs=self._outputs)
        return {}

    def _output_sizes(self) -> dict[str, int]:
        frames = self._feeds[self._model.inputs[0]]
        sizes = {OUTPUT: frames.nbytes * self._model.scale**2}
        return sizes | {state.output: self._feeds[state.input].nbytes for state in self._model.state}

    def _place(self) -> tuple[list[tritongrpc.InferInput], list[tritongrpc.InferRequestedOutput]]:
        offset, inputs, outputs = 0, [], []
        for name, size in self._sizes.items():
            if name in self._feeds:
                array = self._feeds[name]
                self._memory[offset : offset + size] = array.tobytes()
                tensor = tritongrpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
                inputs.append(tensor)
            else:
                tensor = tritongrpc.InferRequestedOutput(name)
                outputs.append(tensor)
            tensor.set_shared_memory(self._region, size, offset)
            offset += _aligned(size)
        return inputs, outputs


def _aligned(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
