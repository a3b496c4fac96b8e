"""One request for frames: what is said to Triton, and what its answer must be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from coordinator.inference.arena import MemoryBlock
from coordinator.inference.failures import failed
from framewire.steps.contract import ModelContract, StatePlace


@dataclass(frozen=True, slots=True)
class Carried:
    """Where a recurrent model finds what it remembers, and where it puts what it shall remember: two blocks."""

    before: MemoryBlock
    after: MemoryBlock


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: which frames lie where. Raises ValueError when they do not fit the contract or the blocks."""

    contract: ModelContract
    inputs: MemoryBlock
    outputs: MemoryBlock
    size: tuple[int, int, int]
    """Frames, height, width."""
    carried: Carried | None = None
    """None for a model that remembers nothing, and for no other."""
    mask: MemoryBlock | None = None
    """None for a model that takes none, and for no other."""

    def __post_init__(self) -> None:
        frames, height, width = self.size
        if not 1 <= frames <= self.contract.max_batch:
            raise ValueError(f"{self.contract.name} takes 1 to {self.contract.max_batch} frames, not {frames}")
        if height % self.contract.size_multiple or width % self.contract.size_multiple:
            raise ValueError(f"{self.contract.name} takes multiples of {self.contract.size_multiple} pixels")
        if 0 < self.contract.max_pixels < height * width:
            raise ValueError(
                f"{self.contract.name} takes {self.contract.max_pixels} pixels at most, not {width}x{height}"
            )
        if self.contract.remembers != (self.carried is not None):
            raise ValueError(
                f"{self.contract.name} remembers, give it state" if self.contract.remembers else "no state"
            )
        if bool(self.contract.mask) != (self.mask is not None):
            raise ValueError(f"{self.contract.name} takes a mask" if self.contract.mask else "no mask")
        self.outputs.array(self.output_shape)
        if self.mask is not None:
            self.mask.array(self.mask_shape)
        for block in (self.carried.before, self.carried.after) if self.carried else ():
            block.array((self.contract.state_bytes(height, width),))

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Of the frames that go in, NHWC."""
        return (*self.size, 3)

    @property
    def mask_shape(self) -> tuple[int, int, int, int]:
        """Of the mask that goes in with them."""
        return (*self.size, 1)

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """Of the frames that come out, NHWC."""
        frames, height, width = self.size
        return (frames, height * self.contract.scale, width * self.contract.scale, 3)

    def request(self) -> Any:
        """The `ModelInferRequest`: with the frames in it, or with where they lie."""
        request = service_pb2.ModelInferRequest(model_name=self.contract.name, model_version=self.contract.version)
        tensor = request.inputs.add(name=self.contract.input, datatype="UINT8", shape=self.input_shape)
        self._give(request, tensor, self.inputs, 0, self.inputs.array(self.input_shape).size)
        if self.mask is not None:
            tensor = request.inputs.add(name=self.contract.mask, datatype="UINT8", shape=self.mask_shape)
            self._give(request, tensor, self.mask, 0, self.mask.array(self.mask_shape).size)
        frames = self.outputs.array(self.output_shape).size
        self._want(request.outputs.add(name=self.contract.output), self.outputs, 0, frames)
        for place, carried in self._states():
            name, datatype = place.tensor.input, place.tensor.datatype
            tensor = request.inputs.add(name=name, datatype=datatype, shape=place.shape)
            self._give(request, tensor, carried.before, place.offset, place.size)
            self._want(request.outputs.add(name=place.tensor.output), carried.after, place.offset, place.size)
        return request

    def take(self, response: Any) -> None:
        """Check the answer, and put what came with it into the blocks. Raises WorkerError (INFERENCE_FAILED)."""
        answers = {output.name: (number, tuple(output.shape)) for number, output in enumerate(response.outputs)}
        raw = response.raw_output_contents
        self._take(self.contract.output, self.output_shape, answers, raw, self.outputs, 0)
        for place, carried in self._states():
            self._take(place.tensor.output, place.shape, answers, raw, carried.after, place.offset)

    def _states(self) -> Iterator[tuple[StatePlace, Carried]]:
        if self.carried is not None:
            for place in self.contract.state_places(*self.size[1:]):
                yield place, self.carried

    @staticmethod
    def _give(request: Any, tensor: Any, block: MemoryBlock, offset: int, size: int) -> None:
        if block.region:
            _point(tensor, block, offset, size)
        else:
            request.raw_input_contents.append(block.array((offset + size,))[offset:].tobytes())

    @staticmethod
    def _want(output: Any, block: MemoryBlock, offset: int, size: int) -> None:
        if block.region:
            _point(output, block, offset, size)

    def _take(
        self,
        name: str,
        shape: tuple[int, ...],
        answers: dict[str, tuple[int, tuple[int, ...]]],
        raw: Any,
        block: MemoryBlock,
        offset: int,
    ) -> None:
        number, made = answers.get(name, (0, ()))
        if made != shape:
            raise failed(f"{self.contract.name} made {name} {made} of {self.input_shape}, not {shape}")
        if not block.region:
            data = np.frombuffer(raw[number], np.uint8)
            block.array((offset + data.size,))[offset:] = data

    def give_up(self) -> None:
        """Triton may still read some of the blocks and write into the others."""
        carried = (self.carried.before, self.carried.after) if self.carried else ()
        for block in (self.inputs, self.mask, self.outputs, *carried):
            if block is not None:
                block.retire()


def _point(tensor: Any, block: MemoryBlock, offset: int, size: int) -> None:
    tensor.parameters["shared_memory_region"].string_param = block.region
    tensor.parameters["shared_memory_offset"].int64_param = block.offset + offset
    tensor.parameters["shared_memory_byte_size"].int64_param = size
