"""Fourier transforms as products with matrices, which every runtime has; ONNX's own DFT runs on few.

The matrices are made inside the graph from the picture's size. A transform of n points so costs n^2 instead
of n log n: nothing beside the convolutions of the networks that use it, which see pictures an eighth of the size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class FourierUnit(nn.Module):
    """Does what LaMa's unit of this name does, with its weights: a convolution of a picture's spectrum."""

    def __init__(self, convolution: nn.Conv2d, normalization: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution
        self.normalization = normalization

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, channels, height, width]`, in and out."""
        batch, _, height, width = x.shape
        real, imaginary = rfft2(x)
        spectrum = torch.stack((real, imaginary), dim=2).flatten(1, 2)
        spectrum = torch.relu(self.normalization(self.convolution(spectrum)))
        spectrum = spectrum.reshape(batch, -1, 2, height, width // 2 + 1)
        return irfft2(spectrum[:, :, 0], spectrum[:, :, 1], width)


def rfft2(x: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of `torch.fft.rfft2(x, norm="ortho")`."""
    height, width = x.shape[-2], x.shape[-1]
    cosine, sine = _waves(width, width // 2 + 1, x)
    real, imaginary = x @ cosine, -(x @ sine)
    cosine, sine = _waves(height, height, x)
    scale = (height * width) ** 0.5
    return (cosine @ real + sine @ imaginary) / scale, (cosine @ imaginary - sine @ real) / scale


def irfft2(real: Tensor, imaginary: Tensor, width: int) -> Tensor:
    """`torch.fft.irfft2(real + 1j * imaginary, s=(height, width), norm="ortho")`."""
    height = real.shape[-2]
    cosine, sine = _waves(height, height, real)
    real, imaginary = cosine @ real - sine @ imaginary, cosine @ imaginary + sine @ real
    cosine, sine = _waves(width, width // 2 + 1, real)
    weight = _weight(width, real)
    scale = (height * width) ** 0.5
    result: Tensor = (real * weight) @ cosine.transpose(0, 1) - (imaginary * weight) @ sine.transpose(0, 1)
    scaled: Tensor = result / scale
    return scaled


def _waves(points: int, frequencies: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine `[points, frequencies]`; the angle is reduced as an integer, where that is exact."""
    turns = torch.arange(points)[:, None] * torch.arange(frequencies)[None] % points
    angle = turns.to(like.dtype) * (2 * math.pi / points)
    return torch.cos(angle), torch.sin(angle)


def _weight(width: int, like: Tensor) -> Tensor:
    """How often each frequency of the half spectrum occurs in the whole: once at 0 and at the middle, else twice."""
    frequency = torch.arange(width // 2 + 1)
    once = (frequency * 2 % width == 0).to(like.dtype)
    return 2 - once


def rewrite_fourier_units(network: nn.Module) -> nn.Module:
    """Replace every Fourier unit below `network`, in place."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            convolution, normalization = (getattr(child, part, None) for part in ("conv_layer", "bn"))
            if isinstance(convolution, nn.Conv2d) and isinstance(normalization, nn.BatchNorm2d):
                setattr(module, name, FourierUnit(convolution, normalization))
    return network
