"""The networks that are trained here: their shape, and what they are trained on."""

from __future__ import annotations

from dataclasses import dataclass

from exporters.architectures.recurrent import Shape
from exporters.train.degrade import CLEANING, UPSCALING, Severity
from exporters.trained import WEIGHTS

__all__ = ["NETWORKS", "WEIGHTS", "Network", "names", "network", "task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network by name."""

    name: str
    """The model's name in the repository; its weights are `weights/<name>.safetensors`."""
    shape: Shape
    """What it is built from."""
    severity: Severity
    """What it is trained to undo."""


NETWORKS = (
    Network(name="enhance_x2", shape=Shape(scale=2, channels=48, depth=3), severity=UPSCALING),
    Network(name="enhance_x2_hq", shape=Shape(scale=2, channels=64, depth=7), severity=UPSCALING),
    Network(name="enhance_x4", shape=Shape(scale=4, channels=48, depth=3), severity=UPSCALING),
    Network(name="denoise", shape=Shape(scale=1, channels=48, depth=3), severity=CLEANING),
)


def network(name: str) -> Network:
    """The network of this name. Raises KeyError."""
    return {known.name: known for known in NETWORKS}[name]


def names() -> list[str]:
    """All of them."""
    return [known.name for known in NETWORKS]


def task(known: Network) -> str:
    """A word for what it is trained on: networks of one task share their material."""
    return f"x{known.shape.scale}"
