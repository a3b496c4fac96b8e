"""The body of a recurrent network in int8: activations in 8 bits, weights in 8 bits with a step for each channel.

Only the 3x3 convolutions of the body are quantised, where most of the time goes. The first convolution sees pixels,
the last one makes grey levels, and the interpolation beside them must stay exact: these are float32.
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
            weight, bias = layer.weight.detach(), layer.bias.detach()  # type: ignore[operator]  # a convolution's
            sizes = weight_steps(weight)
            of_bias = sizes.flatten() * self.steps()[index]
            layer.weight = nn.Parameter((weight / sizes).round().clamp(-127, 127) * sizes)
            layer.bias = nn.Parameter((bias / of_bias).round() * of_bias)

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


def _rounded(values: Tensor, step: float, least: int, most: int) -> Tensor:
    return (values / step).round().clamp(least, most) * step
