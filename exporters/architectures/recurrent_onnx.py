"""The graph of a recurrent network, laid out for speed on a CPU.

Frames come and go as uint8; where they are cut into blocks and put together again they are uint8 too, a quarter of
the bytes. A request holds one frame: the next one needs its state.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from exporters.architectures.frames_onnx import HALF, array, blocks, from_planes, interpolated
from exporters.architectures.quantised import QuantisedEnhancer
from exporters.architectures.quantised_onnx import frames_and_memory
from exporters.architectures.recurrent import RecurrentEnhancer
from exporters.graph import FRAMES_IN, FRAMES_OUT, Graph

STATE_IN = "STATE_IN"
"""float32 `[channels, height / 2, width / 2]`; zeros at the start of a film."""
STATE_OUT = "STATE_OUT"
"""The same after the frame."""


def build(network: RecurrentEnhancer) -> onnx.ModelProto:
    """The graph from FRAMES_IN and STATE_IN to FRAMES_OUT and STATE_OUT; height and width are free multiples of 2."""
    graph = Graph()
    levels = blocks(graph)
    if isinstance(network, QuantisedEnhancer):
        frames, memory = frames_and_memory(graph, network, levels, STATE_IN)
    else:
        residual, memory = _last(graph, network, _features(graph, network, levels))
        frames = from_planes(graph, network, graph.op("Add", interpolated(graph, network, levels), residual))
    state = graph.op("Squeeze", graph.op("Tanh", memory), graph.ints(0))
    given, kept = (_state(name, network.shape.state_channels) for name in (STATE_IN, STATE_OUT))
    return graph.model([FRAMES_IN, given], [(frames, FRAMES_OUT), (state, kept)])


def _state(name: str, channels: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [channels, "state_height", "state_width"])


def _features(graph: Graph, network: RecurrentEnhancer, levels: str) -> str:
    before = features = _first(graph, network, levels)
    for index, layer in enumerate(network.body):
        weights = [graph.floats(array(value)) for value in (layer.weight, layer.bias)]
        found = graph.op("Conv", features, *weights, pads=[1, 1, 1, 1])
        if index % 2:
            before = graph.op("Relu", graph.op("Add", found, before))
        features = before if index % 2 else graph.op("Relu", found)
    return features


def _first(graph: Graph, network: RecurrentEnhancer, levels: str) -> str:
    """The first convolution in two, of pixels and of the state.

    Vector units take 16 channels at a time. 12 and 8 of them, each below that, cost what they are; 20 cost 32.
    """
    pixels = graph.op("Cast", levels, to=TensorProto.FLOAT)
    state = graph.op("Unsqueeze", STATE_IN, graph.ints(0))
    framed = graph.op("Pad", state, graph.ints(1, 1, 1, 1), "", graph.ints(2, 3))
    of_pixels, of_state, bias = map(graph.floats, _for_grey_levels(network))
    return graph.op(
        "Relu", graph.op("Add", graph.op("Conv", pixels, of_pixels, bias), graph.op("Conv", framed, of_state))
    )


def _for_grey_levels(network: RecurrentEnhancer) -> list[NDArray[np.float32]]:
    """The first layer's weights for pixels of 0 to 255 instead of -0.5 to 0.5, those for the state, and its bias."""
    weight, bias = array(network.first.weight), array(network.first.bias)
    of_pixels, of_state = np.split(weight, [weight.shape[1] - network.shape.state_channels], axis=1)
    return [of_pixels / np.float32(255), of_state, bias - np.float32(0.5) * of_pixels.sum(axis=(1, 2, 3))]


def _last(graph: Graph, network: RecurrentEnhancer, features: str) -> tuple[str, str]:
    """Residual in grey levels and a HALF, and what becomes the state."""
    weight, bias = array(network.last.weight), array(network.last.bias)
    edge = len(bias) - network.shape.state_channels
    parts = ((255 * weight[:edge], 255 * bias[:edge] + np.float32(HALF)), (weight[edge:], bias[edge:]))
    residual, memory = (graph.op("Conv", features, *map(graph.floats, part)) for part in parts)
    return residual, memory
