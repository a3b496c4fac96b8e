"""Frames cut into blocks, interpolated, and put together again: what the graphs of recurrent networks share.

Where pixels only move they are uint8, a quarter of the bytes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto

from exporters.architectures.recurrent import BLOCK, RecurrentEnhancer
from exporters.declaration import INPUT
from exporters.graph import Graph

HALF = 0.5
"""What is added to grey levels so that the cast to bytes, which cuts off, rounds."""


def blocks(graph: Graph) -> str:
    """INPUT as uint8 `[1, (y, x, colour), height / 2 + 2, width / 2 + 2]`, edge pixels repeated."""
    padded = graph.op("Pad", INPUT, graph.ints(BLOCK, BLOCK, BLOCK, BLOCK), "", graph.ints(1, 2), mode="edge")
    size = graph.op("Div", graph.op("Shape", padded, start=1, end=3), graph.ints(BLOCK))
    rows, columns = (graph.op("Slice", size, graph.ints(at), graph.ints(at + 1)) for at in (0, 1))
    shape = graph.op("Concat", graph.ints(-1), rows, graph.ints(BLOCK), columns, graph.ints(BLOCK * 3), axis=0)
    cut = graph.op("Transpose", graph.op("Reshape", padded, shape), perm=[0, 1, 3, 2, 4])
    flat = graph.op("Concat", graph.ints(-1), rows, columns, graph.ints(BLOCK * BLOCK * 3), axis=0)
    return graph.op("Transpose", graph.op("Reshape", cut, flat), perm=[0, 3, 1, 2])


def interpolated(graph: Graph, network: RecurrentEnhancer, levels: str, *bias: NDArray[np.float32]) -> str:
    """Grey levels `[1, (y, x, colour) of the result, height / 2, width / 2]` of what `blocks` gives, and a bias."""
    pixels = graph.op("Cast", levels, to=TensorProto.FLOAT)
    return graph.op("Conv", pixels, graph.floats(array(network.interpolation)), *map(graph.floats, bias))


def from_planes(graph: Graph, network: RecurrentEnhancer, planes: str) -> str:
    """Frames of grey levels and a HALF, `[1, (y, x, colour), rows, columns]`: planes become pixels, then rows move."""
    channels = graph.ints(1, network.side, network.side * 3)
    size = graph.op("Div", graph.op("Shape", INPUT, start=1, end=3), graph.ints(BLOCK))
    cut = graph.op("Reshape", _bytes(graph, planes), graph.op("Concat", channels, size, axis=0))
    pixels = graph.op("Transpose", cut, perm=[0, 1, 3, 4, 2])
    return _frames(
        graph, network, graph.op("Transpose", graph.op("Reshape", pixels, graph.ints(0, 0, 0, -1)), perm=[0, 2, 1, 3])
    )


def from_pixels(graph: Graph, network: RecurrentEnhancer, pixels: str) -> str:
    """Frames of grey levels and a HALF, `[1, rows, columns, (y, x, colour)]`."""
    cut = graph.op("Reshape", _bytes(graph, pixels), graph.ints(0, 0, 0, network.side, network.side * 3))
    return _frames(graph, network, graph.op("Transpose", cut, perm=[0, 1, 3, 2, 4]))


def array(value: object) -> NDArray[np.float32]:
    """A tensor's values."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"weights are tensors, not {type(value).__name__}")
    values: NDArray[np.float32] = value.detach().cpu().float().numpy()
    return values


def _bytes(graph: Graph, levels: str) -> str:
    clipped = graph.op("Clip", levels, graph.floats(0.0), graph.floats(255 + HALF))
    return graph.op("Cast", clipped, to=TensorProto.UINT8)


def _frames(graph: Graph, network: RecurrentEnhancer, rows: str) -> str:
    size = graph.op("Mul", graph.op("Shape", INPUT, start=1, end=3), graph.ints(network.shape.scale))
    return graph.op("Reshape", rows, graph.op("Concat", graph.ints(-1), size, graph.ints(3), axis=0))
