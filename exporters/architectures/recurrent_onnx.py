"""The graph of a recurrent network, laid out for speed on a CPU.

Frames come and go as uint8; where they are cut into blocks and put together again they are uint8 too, a quarter of
the bytes. A request holds one frame: the next one needs its state.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from exporters.architectures.quantised import QuantisedEnhancer, weight_steps
from exporters.architectures.recurrent import BLOCK, RecurrentEnhancer
from exporters.declaration import INPUT
from exporters.graph import FRAMES_IN, FRAMES_OUT, Graph

STATE_IN = "STATE_IN"
"""float32 `[channels, height / 2, width / 2]`; zeros at the start of a film."""
STATE_OUT = "STATE_OUT"
"""The same after the frame."""


def build(network: RecurrentEnhancer) -> onnx.ModelProto:
    """The graph from FRAMES_IN and STATE_IN to FRAMES_OUT and STATE_OUT; height and width are free multiples of 2."""
    graph = Graph()
    pixels = _blocks(graph)
    features = _features(graph, network, pixels)
    residual, memory = _last(graph, network, features)
    frames = _frames(graph, network, graph.op("Add", _interpolated(graph, network, pixels), residual))
    state = graph.op("Squeeze", graph.op("Tanh", memory), graph.ints(0))
    given, kept = (_state(name, network.shape.state_channels) for name in (STATE_IN, STATE_OUT))
    return graph.model([FRAMES_IN, given], [(frames, FRAMES_OUT), (state, kept)])


def _state(name: str, channels: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [channels, "state_height", "state_width"])


def _blocks(graph: Graph) -> str:
    """Grey levels `[1, (y, x, colour), height / 2 + 2, width / 2 + 2]`, edge pixels repeated."""
    padded = graph.op("Pad", INPUT, graph.ints(BLOCK, BLOCK, BLOCK, BLOCK), "", graph.ints(1, 2), mode="edge")
    size = graph.op("Div", graph.op("Shape", padded, start=1, end=3), graph.ints(BLOCK))
    rows, columns = (graph.op("Slice", size, graph.ints(at), graph.ints(at + 1)) for at in (0, 1))
    shape = graph.op("Concat", graph.ints(-1), rows, graph.ints(BLOCK), columns, graph.ints(BLOCK * 3), axis=0)
    cut = graph.op("Transpose", graph.op("Reshape", padded, shape), perm=[0, 1, 3, 2, 4])
    flat = graph.op("Concat", graph.ints(-1), rows, columns, graph.ints(BLOCK * BLOCK * 3), axis=0)
    channels = graph.op("Transpose", graph.op("Reshape", cut, flat), perm=[0, 3, 1, 2])
    return graph.op("Cast", channels, to=TensorProto.FLOAT)


def _interpolated(graph: Graph, network: RecurrentEnhancer, pixels: str) -> str:
    return graph.op("Conv", pixels, graph.floats(_array(network.interpolation)))


def _features(graph: Graph, network: RecurrentEnhancer, pixels: str) -> str:
    weight, bias = _for_grey_levels(network)
    state = graph.op("Unsqueeze", STATE_IN, graph.ints(0))
    framed = graph.op("Pad", state, graph.ints(1, 1, 1, 1), "", graph.ints(2, 3))
    known = graph.op("Concat", pixels, framed, axis=1)
    features = graph.op("Relu", graph.op("Conv", known, graph.floats(weight), graph.floats(bias)))
    if isinstance(network, QuantisedEnhancer):
        return _quantised_body(graph, network, features)
    before = features
    for index, layer in enumerate(network.body):
        weights = [graph.floats(_array(value)) for value in (layer.weight, layer.bias)]
        found = graph.op("Conv", features, *weights, pads=[1, 1, 1, 1])
        if index % 2:
            before = graph.op("Relu", graph.op("Add", found, before))
        features = before if index % 2 else graph.op("Relu", found)
    return features


def _quantised_body(graph: Graph, network: QuantisedEnhancer, features: str) -> str:
    """Each value between the convolutions is rounded to 8 bits: the runtime then computes in integers."""
    steps = network.steps()
    before = features = _rounded(graph, features, steps[0], np.uint8)
    for index, layer in enumerate(network.body):
        found = graph.op("Conv", features, *_int8(graph, layer, steps[index]), pads=[1, 1, 1, 1])
        if index % 2:
            found = graph.op("Add", _rounded(graph, found, network.change_step(index), np.int8), before)
        features = _rounded(graph, graph.op("Relu", found), steps[index + 1], np.uint8)
        before = features if index % 2 else before
    return features


def _rounded(graph: Graph, values: str, step: float, kind: type[np.generic]) -> str:
    size = [graph.floats(step), graph.array(np.zeros((), kind))]
    return graph.op("DequantizeLinear", graph.op("QuantizeLinear", values, *size), *size)


def _int8(graph: Graph, layer: torch.nn.Module, step: float) -> list[str]:
    """Weights and bias, as integers and what a step of them stands for."""
    weight = _array(layer.weight)
    sizes = weight_steps(torch.from_numpy(weight)).numpy()
    whole = (weight / sizes).round().clip(-127, 127).astype(np.int8)
    of_bias = (sizes.ravel() * np.float32(step)).astype(np.float32)
    bias = (_array(layer.bias) / of_bias).round().astype(np.int32)
    pairs = ((whole, sizes.ravel(), np.int8), (bias, of_bias, np.int32))
    return [
        graph.op(
            "DequantizeLinear", graph.array(values), graph.floats(steps), graph.array(np.zeros(len(bias), kind)), axis=0
        )
        for values, steps, kind in pairs
    ]


def _for_grey_levels(network: RecurrentEnhancer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The first layer's weights for pixels of 0 to 255 instead of -0.5 to 0.5."""
    weight, bias = _array(network.first.weight).copy(), _array(network.first.bias).copy()
    pixels = weight.shape[1] - network.shape.state_channels
    bias -= 0.5 * weight[:, :pixels].sum(axis=(1, 2, 3))
    weight[:, :pixels] /= 255
    return weight, bias


def _last(graph: Graph, network: RecurrentEnhancer, features: str) -> tuple[str, str]:
    """Residual in grey levels, and what becomes the state."""
    weight, bias = _array(network.last.weight), _array(network.last.bias)
    edge = len(bias) - network.shape.state_channels
    parts = ((255 * weight[:edge], 255 * bias[:edge]), (weight[edge:], bias[edge:]))
    residual, memory = (graph.op("Conv", features, *map(graph.floats, part)) for part in parts)
    return residual, memory


def _frames(graph: Graph, network: RecurrentEnhancer, blocks: str) -> str:
    """Blocks as frames: rounded by adding a half before the cast cuts off."""
    rounded = graph.op("Clip", graph.op("Add", blocks, graph.floats(0.5)), graph.floats(0.0), graph.floats(255.5))
    levels = graph.op("Transpose", graph.op("Cast", rounded, to=TensorProto.UINT8), perm=[0, 2, 3, 1])
    cut = graph.op("Reshape", levels, graph.ints(0, 0, 0, network.side, network.side * 3))
    lines = graph.op("Transpose", cut, perm=[0, 1, 3, 2, 4])
    size = graph.op("Shape", INPUT, start=1, end=3)
    scaled = graph.op("Mul", size, graph.ints(network.shape.scale))
    shape = graph.op("Concat", graph.ints(-1), scaled, graph.ints(3), axis=0)
    return graph.op("Reshape", lines, shape)


def _array(value: object) -> NDArray[np.float32]:
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"weights are tensors, not {type(value).__name__}")
    array: NDArray[np.float32] = value.detach().cpu().float().numpy()
    return array
