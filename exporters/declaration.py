"""What is said about a built-in model, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

INPUT = "FRAMES_IN"
OUTPUT = "FRAMES_OUT"

Frames = NDArray[np.uint8]
"""uint8 RGB, NHWC: `[batch, height, width, 3]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far an export may be from its reference and still count as the same model."""

    levels: int
    """Largest difference of any value, in grey levels of 255."""
    exact: float
    """Least part of the values that must be equal, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: its contract, how its graph is built, and what that graph must compute."""

    name: str
    """Name in the model repository."""
    scale: int
    """Output size / input size, per side."""
    size_multiple: int = 1
    """Height and width must be multiples of this; neutral value: 1."""
    max_batch: int
    """Most frames in one request."""
    license: str
    """SPDX identifier of the weights."""
    description: str
    """One sentence for people."""
    instances: int = 1
    """Requests that run at the same time."""
    build: Callable[[], onnx.ModelProto]
    """The graph from INPUT to OUTPUT, the same bytes each time."""
    reference: Callable[[Frames], Frames]
    """What the graph must compute, by other means."""
    tolerance: Tolerance
