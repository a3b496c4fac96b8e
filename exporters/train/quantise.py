"""Finds the ranges that a network's activations take, on scenes drawn by code: what its int8 variant needs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from exporters.architectures import quantised
from exporters.architectures.recurrent import RecurrentEnhancer
from exporters.declaration import Frames
from exporters.train import degrade, networks, scenes

_SIDE = 96
_LENGTH = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m exporters.train.quantise", description=__doc__)
    parser.add_argument("network", choices=networks.names())
    parser.add_argument("--films", type=int, default=30, help="drawn scenes to look at; default: %(default)s")
    parser.add_argument("--output", type=Path, help="default: exporters/weights/<network>_int8.safetensors")
    options = parser.parse_args(arguments)
    known = networks.network(options.network)
    network = RecurrentEnhancer(known.shape)
    network.load(networks.WEIGHTS / f"{known.name}.safetensors")
    path = options.output or networks.WEIGHTS / f"{known.name}_int8.safetensors"
    quantised.save(quantised.calibrate(network, films(known, options.films)), path)
    sys.stdout.write(f"{path}\n")
    return 0


def films(known: networks.Network, count: int) -> Iterator[Frames]:
    """Degraded scenes, each kind in turn."""
    kinds = [scene for scene, _ in scenes.SCENES.values()]
    for seed in range(count):
        rng = np.random.default_rng((1, seed))
        truth = kinds[seed % len(kinds)](rng, _SIDE * known.shape.scale, _LENGTH)
        yield degrade.apply(truth, degrade.draw(rng, known.shape.scale, known.severity))


if __name__ == "__main__":
    sys.exit(main())
