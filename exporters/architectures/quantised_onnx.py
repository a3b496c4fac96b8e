"""The int8 graph of a recurrent network: every convolution that learned something, in integers.

Each value between them is rounded to 8 bits and written as pairs of QuantizeLinear and DequantizeLinear; the runtime
then computes in integers. Pixels are 8 bits as they come. Interpolation stays float32, and so does what is added to it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from exporters.architectures.frames_onnx import HALF, array, from_pixels, interpolated
from exporters.architectures.quantised import (
    MIDDLE,
    PIXEL_STEP,
    STATE_STEP,
    QuantisedEnhancer,
    as_pixels,
    middle_bias,
    weight_steps,
)
from exporters.graph import Graph


def frames_and_memory(graph: Graph, network: QuantisedEnhancer, levels: str, state: str) -> tuple[str, str]:
    """The frames, and what becomes the state by tanh, `[1, channels, rows, columns]`; `levels` as of `blocks`."""
    features = graph.op("Transpose", _body(graph, network, _first(graph, network, levels, state)), perm=[0, 2, 3, 1])
    edge = network.side**2 * 3
    weight, bias = array(network.last.weight)[..., 0, 0], array(network.last.bias)
    residual = graph.op("MatMul", features, _int8_columns(graph, weight[:edge], unit=255))
    # the bias goes with the convolution beside it, where it takes no time
    plain = graph.op(
        "Transpose", interpolated(graph, network, levels, 255 * bias[:edge] + np.float32(HALF)), perm=[0, 2, 3, 1]
    )
    kept = graph.op("MatMul", features, _int8_columns(graph, weight[edge:], unit=1))
    memory = graph.op("Add", graph.op("Transpose", kept, perm=[0, 3, 1, 2]), graph.floats(bias[edge:, None, None]))
    return from_pixels(graph, network, graph.op("Add", plain, residual)), memory


def _first(graph: Graph, network: QuantisedEnhancer, levels: str, state: str) -> str:
    """Pixels as they are, and the state in steps of its own: its weights make up for the difference."""
    middle = graph.array(np.array(MIDDLE, np.uint8))
    framed = graph.op("Pad", graph.op("Unsqueeze", state, graph.ints(0)), graph.ints(1, 1, 1, 1), "", graph.ints(2, 3))
    rounded = graph.op("QuantizeLinear", framed, graph.floats(STATE_STEP), middle)
    known = graph.op("Concat", levels, rounded, axis=1)
    values = graph.op("DequantizeLinear", known, graph.floats(PIXEL_STEP), middle)
    weight = as_pixels(network.first.weight, network.shape.state_channels)
    bias = network.first.bias + middle_bias(network.first.weight, network.shape.state_channels)  # type: ignore[operator]  # a convolution's
    found = graph.op("Conv", values, *_int8(graph, array(weight), array(bias), PIXEL_STEP))
    return _rounded(graph, graph.op("Relu", found), network.steps()[0], np.uint8)


def _body(graph: Graph, network: QuantisedEnhancer, features: str) -> str:
    steps, before = network.steps(), features
    for index, layer in enumerate(network.body):
        weights = _int8(graph, array(layer.weight), array(layer.bias), steps[index])
        found = graph.op("Conv", features, *weights, pads=[1, 1, 1, 1])
        if index % 2:
            found = graph.op("Add", _rounded(graph, found, network.change_step(index), np.int8), before)
        features = _rounded(graph, graph.op("Relu", found), steps[index + 1], np.uint8)
        before = features if index % 2 else before
    return features


def _rounded(graph: Graph, values: str, step: float, kind: type[np.generic]) -> str:
    size = [graph.floats(step), graph.array(np.zeros((), kind))]
    return graph.op("DequantizeLinear", graph.op("QuantizeLinear", values, *size), *size)


def _int8(graph: Graph, weight: NDArray[np.float32], bias: NDArray[np.float32], step: float) -> list[str]:
    """A convolution's weights and bias, as integers and what a step of them stands for."""
    whole, sizes = _whole(weight)
    of_bias = (sizes * np.float32(step)).astype(np.float32)
    bias_whole = (bias / of_bias).round().astype(np.int32)
    return [_read(graph, whole, sizes, axis=0), _read(graph, bias_whole, of_bias, axis=0)]


def _int8_columns(graph: Graph, weight: NDArray[np.float32], *, unit: float) -> str:
    """The weights `[to, from]` of a convolution of single pixels as those of a product, times `unit`."""
    whole, sizes = _whole(weight[..., None, None])
    return _read(graph, np.ascontiguousarray(whole[..., 0, 0].T), sizes * np.float32(unit), axis=1)


def _whole(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    sizes = weight_steps(torch.from_numpy(weight)).numpy()
    return (weight / sizes).round().clip(-127, 127).astype(np.int8), sizes.ravel()


def _read(graph: Graph, whole: NDArray[np.signedinteger], steps: NDArray[np.float32], *, axis: int) -> str:
    zero = graph.array(np.zeros(len(steps), whole.dtype))
    return graph.op("DequantizeLinear", graph.array(whole), graph.floats(steps), zero, axis=axis)
