"""A small recurrent network for video: what it adds to bicubic interpolation, and what it remembers of past frames.

    frame  -> blocks of 2x2 pixels -+-> bicubic, as fixed weights ----------------------+-> clip, round -> frame
                                    |                                                   |
    state ------------------------- + -> conv 3x3 -> depth x conv 3x3 -> conv 1x1 -+-> residual
                                                                                   +-> tanh -> state

It works at half the input's resolution, where a channel costs a quarter, and cuts its output blocks apart at the
end. With the last convolution at zero it is exactly bicubic interpolation. The state is bounded by tanh, so a film of
any length keeps it in the range it was trained in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from exporters.architectures.interpolation import block_weights

BLOCK = 2
"""Pixels of a block's side: height and width of frames are multiples of it."""
_COLOURS = 3
_PIXELS = BLOCK * BLOCK * _COLOURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a network of this kind is built from."""

    scale: int
    """Output size / input size, per side."""
    channels: int
    """Channels between the convolutions; a multiple of 16 suits the vector units."""
    depth: int
    """3x3 convolutions after the first one."""
    state_channels: int = 8
    """Channels of the state, at half the input's resolution; 0 makes a network without memory."""


class RecurrentEnhancer(nn.Module):
    """Enhances one frame at a time and hands on a state."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.slope = 0.0
        """Of activations below zero. Training begins with more than 0, or most channels die in its first minutes."""
        self.side = BLOCK * shape.scale
        self.first = nn.Conv2d(_PIXELS + shape.state_channels, shape.channels, 3)
        self.body = nn.ModuleList(nn.Conv2d(shape.channels, shape.channels, 3, padding=1) for _ in range(shape.depth))
        self.last = nn.Conv2d(shape.channels, self.side**2 * _COLOURS + shape.state_channels, 1)
        self.register_buffer("interpolation", torch.from_numpy(block_weights(shape.scale)), persistent=False)
        self._start_as_bicubic()

    def _start_as_bicubic(self) -> None:
        for layer in (self.first, *self.body):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.last.weight[: self.side**2 * _COLOURS] = 0
            # large enough to be worth looking at: what is remembered is otherwise lost beside the pixels
            nn.init.normal_(self.last.weight[self.side**2 * _COLOURS :], 0, 0.4)
            self.last.bias.zero_()  # type: ignore[union-attr]  # the convolution is built with a bias

    def load(self, path: Path) -> None:
        """Take weights from a safetensors file. Raises RuntimeError when they are another shape's."""
        self.load_state_dict(load_file(path))

    def borrow(self, path: Path) -> None:
        """Begin with what another network has learned.

        A network of the same scale that is as large or larger, with pairs of convolutions more, then computes the same:
        what is wider or deeper adds nothing until it is trained (Net2Net, Chen et al., 2016). Of a network of another
        scale all but the last layer is taken.
        """
        given = load_file(path)
        layers = self._layers_for(sum(name.startswith("body.") for name in given) // 2)
        own = self.state_dict()
        for name, value in given.items():
            layer, _, kind = name.rpartition(".")
            own_name = f"{layers.get(layer, layer)}.{kind}"
            if own_name in own and (layer != "last" or len(value) == len(own[own_name])):
                _embed(value, own[own_name])

    def _layers_for(self, depth: int) -> dict[str, str]:
        """Names of another network's layers here; pairs that it lacks are made to pass on what they are given."""
        if depth > len(self.body) or (len(self.body) - depth) % 2:
            return {}
        surplus = range(depth - depth % 2, len(self.body) - depth % 2)
        for layer in surplus[1::2]:
            nn.init.zeros_(self.body[layer].weight)  # type: ignore[arg-type]  # a convolution's
        return {f"body.{depth - 1}": f"body.{len(self.body) - 1}"} if depth % 2 else {}

    def start(self, batch: int, height: int, width: int) -> Tensor:
        """The state at the start of a film."""
        return torch.zeros(batch, self.shape.state_channels, height // BLOCK, width // BLOCK)

    def forward(self, frames: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Blocks of the enhanced frames `[batch, (y, x, colour), height / 2, width / 2]` in grey levels, and the state.

        `frames` are grey levels 0 to 255 of any type, `[batch, height, width, 3]`. The result is neither
        clipped nor rounded: `to_frames` does that.
        """
        interpolated, residual, memory = self.parts(frames, state)
        return interpolated + residual, memory

    def parts(self, frames: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `forward`, with what interpolation gives and what the network adds to it apart."""
        with torch.autocast(frames.device.type, enabled=False):  # grey levels do not fit into bfloat16
            pixels = to_blocks(pad_edges(frames.float()), BLOCK)
            interpolated = functional.conv2d(pixels, self.interpolation)  # type: ignore[arg-type]  # a buffer is a tensor
            known = torch.cat([pixels / 255 - 0.5, functional.pad(state.float(), (1, 1, 1, 1))], dim=1)
            features = self._bent(self.first(known))
        found = self._body(features)
        residual, memory = torch.split(found.float(), [self.side**2 * _COLOURS, self.shape.state_channels], dim=1)
        return interpolated, 255 * residual, torch.tanh(memory)

    def _bent(self, values: Tensor) -> Tensor:
        return functional.leaky_relu(values, self.slope) if self.slope else torch.relu(values)

    def _body(self, features: Tensor) -> Tensor:
        before = features
        for index, layer in enumerate(self.body):
            found = layer(features)
            if index % 2:
                found = found + before
                before = self._bent(found)
            features = before if index % 2 else self._bent(found)
        result: Tensor = self.last(features)
        return result


def _embed(small: Tensor, large: Tensor) -> None:
    """Write weights into the corner of larger ones; what goes out of them then knows nothing of what is larger."""
    if any(a > b for a, b in zip(small.shape, large.shape, strict=True)):
        return
    corner = tuple(slice(side) for side in small.shape)
    if small.dim() > 1:
        large[: small.shape[0], small.shape[1] :] = 0
    large[corner] = small


def pad_edges(frames: Tensor) -> Tensor:
    """Frames `[batch, height, width, 3]` with BLOCK pixels more on each side, edge pixels repeated."""
    return functional.pad(frames.permute(0, 3, 1, 2), (BLOCK,) * 4, mode="replicate").permute(0, 2, 3, 1)


def to_blocks(frames: Tensor, side: int) -> Tensor:
    """`[batch, height, width, 3]` as `[batch, (y, x, colour), height / side, width / side]`."""
    batch, height, width, colours = frames.shape
    cut = frames.reshape(batch, height // side, side, width // side, side, colours).permute(0, 2, 4, 5, 1, 3)
    return cut.reshape(batch, side * side * colours, height // side, width // side).contiguous(
        memory_format=torch.channels_last
    )


def to_frames(blocks: Tensor, side: int) -> Tensor:
    """Blocks `[batch, (y, x, colour), rows, columns]` in grey levels as clipped, rounded uint8 frames."""
    batch, _, rows, columns = blocks.shape
    levels = blocks.clamp(0, 255).round().to(torch.uint8)
    apart = levels.reshape(batch, side, side, _COLOURS, rows, columns).permute(0, 4, 1, 5, 2, 3)
    return apart.reshape(batch, rows * side, columns * side, _COLOURS).contiguous()
