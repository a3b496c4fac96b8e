"""One request for frames: what is said to Triton, and what its answer must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from coordinator.inference.arena import MemoryBlock
from coordinator.inference.failures import failed
from framewire.steps.contract import ModelContract


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: which frames lie where. Raises ValueError when they do not fit the contract or the blocks."""

    contract: ModelContract
    inputs: MemoryBlock
    outputs: MemoryBlock
    size: tuple[int, int, int]
    """Frames, height, width."""

    def __post_init__(self) -> None:
        frames, height, width = self.size
        if not 1 <= frames <= self.contract.max_batch:
            raise ValueError(f"{self.contract.name} takes 1 to {self.contract.max_batch} frames, not {frames}")
        if height % self.contract.size_multiple or width % self.contract.size_multiple:
            raise ValueError(f"{self.contract.name} takes multiples of {self.contract.size_multiple} pixels")
        self.outputs.array(self.output_shape)

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Of the frames that go in, NHWC."""
        return (*self.size, 3)

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """Of the frames that come out, NHWC."""
        frames, height, width = self.size
        return (frames, height * self.contract.scale, width * self.contract.scale, 3)

    def request(self) -> Any:
        """The `ModelInferRequest`: with the frames in it, or with where they lie."""
        frames = self.inputs.array(self.input_shape)
        request = service_pb2.ModelInferRequest(model_name=self.contract.name, model_version=self.contract.version)
        tensor = request.inputs.add(name=self.contract.input, datatype="UINT8", shape=self.input_shape)
        if self.inputs.region:
            _point(tensor, self.inputs, frames.size)
        else:
            request.raw_input_contents.append(frames.tobytes())
        output = request.outputs.add(name=self.contract.output)
        if self.outputs.region:
            _point(output, self.outputs, self.outputs.array(self.output_shape).size)
        return request

    def take(self, response: Any) -> None:
        """Check the answer, and put the frames into their block if they are not there yet."""
        shape = tuple(response.outputs[0].shape)
        if shape != self.output_shape:
            raise failed(f"{self.contract.name} made {shape} of {self.input_shape}, not {self.output_shape}")
        if not self.outputs.region:
            frames = np.frombuffer(response.raw_output_contents[0], np.uint8)
            self.outputs.array(shape)[...] = frames.reshape(shape)

    def give_up(self) -> None:
        """Triton may still read the one block and write into the other."""
        self.inputs.retire()
        self.outputs.retire()


def _point(tensor: Any, block: MemoryBlock, size: int) -> None:
    tensor.parameters["shared_memory_region"].string_param = block.region
    tensor.parameters["shared_memory_offset"].int64_param = block.offset
    tensor.parameters["shared_memory_byte_size"].int64_param = size
