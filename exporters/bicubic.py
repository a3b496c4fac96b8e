"""Bicubic x2 as an ONNX graph of fixed-weight convolutions.

The same as `torch.nn.functional.interpolate(scale_factor=2, mode="bicubic", align_corners=False)`: A = -0.75,
half-pixel centres, edge pixels repeated. Output pixel 2i lies at i - 1/4 of the input and output
pixel 2i + 1 at i + 1/4, so each phase is a filter of fixed weights over the pixels i - 2 to i + 2.

How it is laid out is for speed on a CPU, where it is bound by memory, not by arithmetic:

1. Rows are taken as they lie in memory (R G B R G B ...), as pictures of one channel. A convolution with a
   step of 8 pixels computes 16 output pixels x 3 colours as 48 channels: a multiple of every
   vector width, and, read channels-last, already the output row in its order.
2. Two depthwise convolutions give the even and the odd output rows, in that blocked layout.
3. The rows are interleaved as uint8, when they are a quarter of the size.

ONNX Runtime's own Resize takes twice as long, a plain 5x5 convolution and depth-to-space 2.5 times.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from exporters.architectures import interpolation
from exporters.declaration import INPUT, Frames
from exporters.graph import Graph

_STEP = 8  # input pixels a position of the horizontal convolution covers
_COLOURS = 3
_CHANNELS = 2 * _STEP * _COLOURS
_REACH = interpolation.REACH
_SCALE = 2


def build() -> onnx.ModelProto:
    """The graph; height, width and batch are free."""
    graph = Graph()
    width = graph.op("Shape", INPUT, start=2, end=3)
    padded = _pad_edges(graph, width)
    rows = _interleave(graph, *_vertical(graph, _horizontal(graph, padded)))
    output_width = graph.op("Mul", width, graph.ints(2))
    return graph.frames_model(graph.op("Slice", rows, graph.ints(0), output_width, graph.ints(2)))


def reference(frames: Frames) -> Frames:
    """The same by torch."""
    import torch  # takes seconds and is needed for nothing else here

    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    result = torch.nn.functional.interpolate(pixels, scale_factor=2, mode="bicubic", align_corners=False)
    rounded: Frames = result.clamp(0, 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return rounded


def taps() -> NDArray[np.float64]:
    """Weights `[phase, pixel]` of the pixels i - 2 to i + 2; exact in binary."""
    return interpolation.taps(_SCALE)


def _pad_edges(graph: Graph, width: str) -> str:
    """Frames with repeated edges, and on the right as many more columns as make the width a multiple of _STEP."""
    surplus = graph.op("Mod", graph.op("Neg", width), graph.ints(_STEP))
    right = graph.op("Add", surplus, graph.ints(_REACH))
    pads = graph.op("Concat", graph.ints(_REACH, _REACH, _REACH), right, axis=0)
    return graph.op("Pad", INPUT, pads, "", graph.ints(1, 2), mode="edge")


def _horizontal(graph: Graph, padded: str) -> str:
    """Twice as wide: `[batch, _CHANNELS, height, width / _STEP]`."""
    rows = graph.op("Concat", graph.op("Shape", padded, start=0, end=2), graph.ints(-1), axis=0)
    pixels = graph.op("Reshape", graph.op("Cast", padded, to=TensorProto.FLOAT), rows)
    picture = graph.op("Unsqueeze", pixels, graph.ints(1))
    return graph.op("Conv", picture, graph.floats(_horizontal_weights()), strides=[1, _STEP * _COLOURS])


def _horizontal_weights() -> NDArray[np.float32]:
    weights = np.zeros((_STEP, 2, _COLOURS, _STEP + 2 * _REACH, _COLOURS), np.float32)
    for pixel in range(_STEP):
        for phase, row in enumerate(taps()):
            for colour in range(_COLOURS):
                weights[pixel, phase, colour, pixel : pixel + len(row), colour] = row
    return weights.reshape(_CHANNELS, 1, 1, -1)


def _vertical(graph: Graph, wide: str) -> tuple[str, str]:
    """Even and odd output rows, uint8, each `[batch, height, 1, row]`."""
    half = graph.floats(np.full(_CHANNELS, 0.5, np.float32))  # the cast to uint8 cuts off: this makes it round
    even, odd = (_rows_of_phase(graph, wide, row, half) for row in taps())
    return even, odd


def _rows_of_phase(graph: Graph, wide: str, weights: NDArray[np.float64], half: str) -> str:
    kernel = np.tile(weights.astype(np.float32).reshape(1, 1, -1, 1), (_CHANNELS, 1, 1, 1))
    sums = graph.op("Conv", wide, graph.floats(kernel), half, group=_CHANNELS)
    clipped = graph.op("Clip", sums, graph.floats(0.0), graph.floats(255.5))
    rows = graph.op("Cast", graph.op("Transpose", clipped, perm=[0, 2, 3, 1]), to=TensorProto.UINT8)
    return graph.op("Reshape", rows, graph.ints(0, 0, 1, -1))


def _interleave(graph: Graph, even: str, odd: str) -> str:
    """`[batch, 2 * height, row / 3, 3]`."""
    pairs = graph.op("Concat", even, odd, axis=2)
    height = graph.op("Mul", graph.op("Shape", INPUT, start=0, end=2), graph.ints(1, 2))
    return graph.op("Reshape", pairs, graph.op("Concat", height, graph.ints(-1, _COLOURS), axis=0))
