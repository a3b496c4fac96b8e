"""A recurrent network in int8: activations in 8 bits, weights in 8 bits with a step for each channel.

Pixels come in 8 bits, so the first convolution sees them as they are. The last one gives float32: grey levels and
what is remembered. The interpolation beside them must stay exact and is float32, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from exporters.architectures.recurrent import RecurrentEnhancer
from exporters.declaration import Frames

MIDDLE = 128
"""What stands for zero in the first convolution's input."""
PIXEL_STEP = 1 / 255
"""What one step of a pixel stands for there."""
STATE_STEP = 1 / 127
"""What one step of the state stands for there; it lies between -1 and 1."""
_KEPT = 0.9998


class QuantisedEnhancer(RecurrentEnhancer):
    """The same network, computed as its int8 graph computes it."""

    ranges: Tensor
    """Largest activation into each body convolution, out of the last one, and change by each second one."""

    def __init__(self, network: RecurrentEnhancer, ranges: Tensor) -> None:
        super().__init__(network.shape)
        self.load_state_dict(network.state_dict())
        self.register_buffer("ranges", ranges.float(), persistent=False)
        for index, layer in enumerate(self.body):
            _round_convolution(layer, self.steps()[index])
        self._round_first()
        self.last.weight = nn.Parameter(_round_weights(self.last.weight.detach()))

    def _round_first(self) -> None:
        """Pixels and state share one step in the integers, and have steps of their own in what they stand for."""
        states, layer = self.shape.state_channels, self.first
        weight = as_pixels(layer.weight.detach(), states)
        layer.weight = nn.Parameter(from_pixels(_round_weights(weight), states))
        of_bias = weight_steps(weight).flatten() * PIXEL_STEP
        offset = middle_bias(layer.weight.detach(), states)
        bias = layer.bias.detach() + offset  # type: ignore[union-attr]  # the convolution is built with a bias
        layer.bias = nn.Parameter((bias / of_bias).round() * of_bias - offset)
        layer.register_forward_pre_hook(lambda _, given: _with_rounded_state(given[0], states))

    def steps(self) -> list[float]:
        """What one of 255 steps stands for, before each body convolution and after the last one."""
        return [float(largest) / 255 for largest in self.ranges[: len(self.body) + 1]]

    def change_step(self, index: int) -> float:
        """What one of 127 steps stands for in what convolution `index` adds to an earlier value; `index` is odd."""
        return float(self.ranges[len(self.body) + 1 + index // 2]) / 127

    def _body(self, features: Tensor) -> Tensor:
        steps = self.steps()
        before = features = _rounded(features, steps[0], 0, 255)
        for index, layer in enumerate(self.body):
            found = layer(features)
            if index % 2:
                found = _rounded(found, self.change_step(index), -128, 127) + before
            features = _rounded(torch.relu(found), steps[index + 1], 0, 255)
            before = features if index % 2 else before
        result: Tensor = self.last(features)
        return result


def weight_steps(weight: Tensor) -> Tensor:
    """What one step of int8 stands for, for each output channel: `[channels, 1, 1, 1]`."""
    return weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-8) / 127


def as_pixels(weight: Tensor, states: int) -> Tensor:
    """The first convolution's weights as if a step of the last `states` channels were one of a pixel."""
    return _times_states(weight, states, STATE_STEP / PIXEL_STEP)


def from_pixels(weight: Tensor, states: int) -> Tensor:
    """The opposite of `as_pixels`."""
    return _times_states(weight, states, PIXEL_STEP / STATE_STEP)


def middle_bias(weight: Tensor, states: int) -> Tensor:
    """What is missing where the middle grey is MIDDLE steps of a pixel, not half of its range: for each channel."""
    return (MIDDLE * PIXEL_STEP - 0.5) * weight[:, : weight.shape[1] - states].sum(dim=(1, 2, 3))


def calibrate(network: RecurrentEnhancer, films: Iterable[Frames]) -> Tensor:
    """Ranges of the activations over some films; the largest two in ten thousand are cut off."""
    largest = torch.zeros(len(network.body) + 1 + len(network.body) // 2)
    with ExitStack() as stack, torch.inference_mode():
        for place, layer in enumerate((*network.body, network.last)):
            stack.callback(layer.register_forward_pre_hook(_kept(largest, place, lambda given, _: given)).remove)
        for place, layer in enumerate(network.body[1::2], len(network.body) + 1):
            stack.callback(layer.register_forward_hook(_kept(largest, place, lambda _, found: found)).remove)
        for film in films:
            state = network.start(1, *film.shape[1:3])
            for frame in film:
                _, state = network(torch.from_numpy(frame[None]), state)
    return largest.clamp_min(1e-6)


def save(ranges: Tensor, path: Path) -> None:
    """Write the ranges as safetensors."""
    save_file({"ranges": ranges.contiguous()}, path)


def load(path: Path) -> Tensor:
    """Read what `save` wrote."""
    return load_file(path)["ranges"]


def _kept(largest: Tensor, place: int, of: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., None]:
    def look(_layer: nn.Module, given: tuple[Tensor], found: Tensor | None = None) -> None:
        values = of(given[0], found if found is not None else given[0]).abs().flatten()
        largest[place] = max(largest[place], values.kthvalue(max(1, int(_KEPT * values.numel()))).values)

    return look


def _times_states(weight: Tensor, states: int, factor: float) -> Tensor:
    result = weight.clone()
    result[:, weight.shape[1] - states :] *= factor
    return result


def _with_rounded_state(known: Tensor, states: int) -> Tensor:
    edge = known.shape[1] - states
    return torch.cat([known[:, :edge], _rounded(known[:, edge:], STATE_STEP, -MIDDLE, 255 - MIDDLE)], dim=1)


def _round_convolution(layer: nn.Module, step: float) -> None:
    """Weights and bias to what integers stand for, where one step of the input stands for `step`."""
    weight, bias = layer.weight.detach(), layer.bias.detach()  # type: ignore[operator]  # a convolution's
    of_bias = weight_steps(weight).flatten() * step
    layer.weight = nn.Parameter(_round_weights(weight))
    layer.bias = nn.Parameter((bias / of_bias).round() * of_bias)


def _round_weights(weight: Tensor) -> Tensor:
    sizes = weight_steps(weight)
    return (weight / sizes).round().clamp(-127, 127) * sizes


def _rounded(values: Tensor, step: float, least: int, most: int) -> Tensor:
    return (values / step).round().clamp(least, most) * step
