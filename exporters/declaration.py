"""What is said about a model, once: its contract, where its weights come from, and how near an export must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from framewire.steps.contract import MODEL_KINDS

if TYPE_CHECKING:  # a list of models needs none of it
    import onnx

INPUT = "FRAMES_IN"
OUTPUT = "FRAMES_OUT"
MASK = "MASK_IN"
HEIGHT = "height"
WIDTH = "width"

Frames = NDArray[np.uint8]
"""uint8 RGB, NHWC: `[batch, height, width, 3]`."""

Tensors = Mapping[str, NDArray[Any]]
"""Arrays by the names the graph gives them."""

Reference = Callable[[Tensors], Tensors]
"""What a graph must compute, by other means: inputs by name to outputs by name."""


class Kind(StrEnum):
    """What a model is for; the parameter `kind` of its config."""

    ENHANCE = "enhance"
    """Frames in, larger or better frames out."""
    DENOISE = "denoise"
    """Frames in, frames of the same size out."""
    FACE = "face"
    """One aligned face of a fixed size in, the same face out."""
    INPAINT = "inpaint"
    """Frames and a mask in (255: fill), frames out."""


class Precision(StrEnum):
    """What the graph computes in."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far an export may be from its reference and still count as the same model."""

    levels: int
    """Largest difference of any value, in grey levels of 255."""
    exact: float
    """Least part of the values that must be equal, 0 to 1."""
    state: float = 1e-3
    """Largest difference of any value of a state tensor."""


FP32 = Tolerance(levels=1, exact=0.999)
"""For graphs that compute in fp32: a value half-way between two levels may go either way."""
FP16 = Tolerance(levels=3, exact=0.8, state=2e-2)
"""For graphs that compute in fp16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a recurrent model hands from one batch to the next: float32 `[channels, height / divisor, width / divisor]`.

    The film begins with zeros.
    """

    input: str = "STATE_IN"
    output: str = "STATE_OUT"
    channels: int
    divisor: int = 1
    """Of the input frames' height and width; size_multiple is a multiple of it."""

    def zeros(self, height: int, width: int) -> NDArray[np.float32]:
        """The state before the first frame."""
        return np.zeros((self.channels, height // self.divisor, width // self.divisor), np.float32)


class Recipe(Protocol):
    """How a model's graph comes to be."""

    @property
    def architecture(self) -> str:
        """Name of the network's design, for the card."""

    @property
    def checkpoint(self) -> Path | None:
        """File of the weights; None when there are none."""

    @property
    def reproducible(self) -> bool:
        """Whether `graph` gives the same bytes on every machine with the same versions of torch and onnx."""

    def graph(self, model: Model) -> onnx.ModelProto:
        """The graph. Raises ExportFailed when it cannot be made."""

    def reference(self, model: Model) -> Reference:
        """What it must compute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handmade:
    """A graph that is written here, operator by operator."""

    architecture: str
    build: Callable[[], onnx.ModelProto]
    compute: Callable[[Frames], Frames]
    """The same by other means."""
    checkpoint: Path | None = None
    reproducible: bool = True

    def graph(self, model: Model) -> onnx.ModelProto:
        """As it was written."""
        del model
        return self.build()

    def reference(self, model: Model) -> Reference:
        """`compute` on the frames."""
        del model
        return lambda tensors: {OUTPUT: self.compute(tensors[INPUT])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: its contract, how its graph is built, and what that graph must compute."""

    name: str
    """Name in the model repository."""
    kind: Kind = Kind.ENHANCE
    scale: int
    """Output size / input size, per side."""
    size_multiple: int = 1
    """Height and width must be multiples of this; neutral value: 1."""
    min_size: int = 1
    """Least height and width; neutral value: 1."""
    fixed_size: int | None = None
    """The only height and width it takes; neutral value: None."""
    overlap: int | None = 0
    """Input pixels around a tile that its result depends on; None: not known, or the whole picture."""
    max_batch: int
    """Most frames in one request."""
    license: str
    """SPDX identifier of the weights."""
    source: str = "this repository"
    """Where the weights come from: an address, or words."""
    description: str
    """One sentence for people."""
    precision: Precision = Precision.FP32
    instances: int = 1
    """Requests that run at the same time."""
    state: tuple[State, ...] = ()
    """What it remembers; neutral value: (), nothing."""
    recipe: Recipe
    tolerance: Tolerance = FP32
    heavy: bool = False
    """Whether running it takes so long that it is proven on fewer pictures."""

    @property
    def takes_mask(self) -> bool:
        """Whether it needs MASK as well as INPUT."""
        return self.kind is Kind.INPAINT

    @property
    def used_by_steps(self) -> bool:
        """Whether some step can use it."""
        return self.kind in MODEL_KINDS and not self.fixed_size

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the graph takes, in order."""
        return (INPUT, *((MASK,) if self.takes_mask else ()), *(state.input for state in self.state))

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the graph gives, in order."""
        return (OUTPUT, *(state.output for state in self.state))

    def fitting(self, height: int, width: int) -> tuple[int, int]:
        """The nearest size not below this one that the model takes."""
        if self.fixed_size:
            return self.fixed_size, self.fixed_size
        rows, columns = (-(-max(side, self.min_size) // self.size_multiple) for side in (height, width))
        return rows * self.size_multiple, columns * self.size_multiple

    def feeds(self, frames: Frames, mask: Frames | None = None) -> dict[str, NDArray[Any]]:
        """Inputs of one request at the start of a film; without `mask` nothing is masked."""
        batch, height, width, _ = frames.shape
        feeds: dict[str, NDArray[Any]] = {INPUT: frames}
        if self.takes_mask:
            feeds[MASK] = np.zeros((batch, height, width, 1), np.uint8) if mask is None else mask
        return feeds | {state.input: state.zeros(height, width) for state in self.state}
