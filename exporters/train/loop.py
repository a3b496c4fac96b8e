"""The training loop: sequences unrolled through time, an error relative to bicubic's, averaged weights, checkpoints."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exporters.architectures.recurrent import RecurrentEnhancer, to_blocks
from exporters.train.cache import Material

_FLOOR = 0.6  # grey levels: errors of interpolation below this count as this, so that flat areas do not rule
_BENT = 0.6  # part of training after which there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how fast to train."""

    minutes: float
    """Wall time over which the learning rate falls to its end; counted over all resumed runs."""
    steps: int | None = None
    """Instead of `minutes`: a number of steps, for runs that must be the same each time."""
    batch: int = 8
    """Sequences of a step."""
    unroll: int = 3
    """Frames that errors go back through."""
    warm_up: int = 3
    """Most frames seen before those, to fill the state."""
    side: int = 48
    """Height and width of the crops of degraded frames; even."""
    filmed: float = 0.7
    """Part of the sequences that come from clips, where there are any."""
    rate: float = 2e-3
    """Largest learning rate."""
    seed: int = 0
    """What crops are drawn from."""
    steadiness: float = 0.25
    """How much errors from frame to frame count beside the frames' own."""
    slope: float = 0.2
    """Of activations below zero at the start; 0 for weights that were trained to the end before."""
    averaging: float = 0.998
    """How much of the averaged weights stays at each step."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training is."""

    step: int
    done: float
    """0 to 1."""
    error: float
    """Error / bicubic's error, averaged over the last steps."""


class Training:
    """Trains one network; its state is a file from which it goes on."""

    def __init__(self, network: RecurrentEnhancer, plan: Plan, device: torch.device) -> None:
        self._plan = plan
        self._device = device
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        self.averaged = copy.deepcopy(self._network)
        self._optimizer = torch.optim.Adam(network.parameters(), lr=plan.rate, betas=(0.9, 0.99), fused=True)
        self._step, self._spent, self._error = 0, 0.0, 1.0
        self._half = device.type == "cuda" or torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch's

    def run(self, material: Material) -> Iterator[Progress]:
        """Train to the plan's end; yields after each step. Raises ValueError when the error is no number."""
        while self._done() < 1:
            began = time.monotonic()
            error = self._learn(self._batch(material))
            self._step += 1
            self._error += (error - self._error) * max(0.01, 1 / self._step)
            self._spent += time.monotonic() - began
            yield Progress(self._step, self._done(), self._error)

    def save(self, path: Path) -> None:
        """Write all that `restore` needs, by a rename: a run that is cut off leaves the last file whole."""
        state = {
            "network": self._network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self._step,
            "spent": self._spent,
            "error": self._error,
        }
        fresh = path.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from a file that `save` wrote."""
        state: dict[str, Any] = torch.load(path, map_location=self._device, weights_only=True)
        self._network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._step, self._spent, self._error = state["step"], state["spent"], state["error"]

    def _done(self) -> float:
        if self._plan.steps is not None:
            return self._step / self._plan.steps
        return self._spent / (60 * self._plan.minutes)

    def _learn(self, batch: tuple[Tensor, Tensor]) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        self._network.slope = max(0.0, self._plan.slope * (1 - self._done() / _BENT))
        error = self._errors(*batch)
        self._optimizer.zero_grad(set_to_none=True)
        error.backward()  # type: ignore[no-untyped-call]  # torch's
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimizer.step()
        self._average()
        found = float(error.detach())
        if not math.isfinite(found):
            raise ValueError(f"the error is {found} after {self._step} steps: train at a lower rate")
        return found

    def _rate(self) -> float:
        rising = min(1.0, (self._step + 1) / 100)
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, self._done())))
        return self._plan.rate * rising * max(falling, 0.005)

    def _average(self) -> None:
        keep = min(self._plan.averaging, (1 + self._step) / (10 + self._step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self._network.parameters()), 1 - keep)

    def _errors(self, low: Tensor, high: Tensor) -> Tensor:
        """Error of the unrolled frames relative to bicubic's: absolute, squared, and from frame to frame."""
        first = low.shape[1] - self._plan.unroll
        state = self._remembered(low[:, :first])
        errors, bicubic = [], []
        for number in range(first, low.shape[1]):
            truth = to_blocks(high[:, number].float(), self._network.side)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
                interpolated, residual, state = self._network.parts(low[:, number], state)
            errors.append(_clipped(interpolated + residual) - truth)
            bicubic.append(interpolated.clamp(0, 255) - truth)
        return relative(torch.stack(errors, 1), torch.stack(bicubic, 1), self._plan.steadiness)

    def _remembered(self, low: Tensor) -> Tensor:
        state: Tensor = self._network.start(low.shape[0], *low.shape[2:4]).to(self._device)
        with torch.no_grad(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            for number in range(low.shape[1]):
                state = self._network.parts(low[:, number], state)[2]
        return state

    def _batch(self, material: Material) -> tuple[Tensor, Tensor]:
        """Sequences `[batch, time, height, width, 3]`, cut, turned and mirrored at random."""
        rng = np.random.default_rng((self._plan.seed, self._step))
        before = int(rng.integers(0, self._plan.warm_up + 1))
        chosen = [self._slot(material, rng) for _ in range(self._plan.batch)]
        pairs = [self._sequence(material, slot, before + self._plan.unroll, rng) for slot in chosen]
        low, high = (torch.from_numpy(np.stack(side)).to(self._device) for side in zip(*pairs, strict=True))
        return low, high

    def _slot(self, material: Material, rng: np.random.Generator) -> int:
        filmed = material.filmed if rng.random() < self._plan.filmed else 0
        return int(
            rng.integers(0, filmed) if filmed else rng.integers(material.filmed % len(material.low), len(material.low))
        )

    def _sequence(self, material: Material, slot: int, length: int, rng: np.random.Generator) -> Any:
        low, high = material.low[slot], material.high[slot]
        scale, side = high.shape[1] // low.shape[1], min(self._plan.side, low.shape[1])
        start = int(rng.integers(0, len(low) - length + 1)) if len(low) > length else 0
        top, left = (int(rng.integers(0, low.shape[1] - side + 1)) for _ in range(2))
        turns, mirrored, backwards = int(rng.integers(4)), rng.random() < 0.5, rng.random() < 0.3
        colours = rng.permutation(3) if rng.random() < 0.1 else [0, 1, 2]
        cut = []
        for frames, factor in ((low, 1), (high, scale)):
            y, x, size = top * factor, left * factor, side * factor
            part = np.rot90(frames[start : start + length, y : y + size, x : x + size], turns, (1, 2))
            part = part[:, :, ::-1] if mirrored else part
            part = part[::-1] if backwards else part
            cut.append(np.ascontiguousarray(part[..., colours]))
        return cut


def relative(errors: Tensor, bicubic: Tensor, steadiness: float = 0.25) -> Tensor:
    """How large errors `[batch, time, ...]` are beside bicubic's, averaged over the batch: 1 is as bad.

    Each sequence counts the same, a flat screen like a forest: in decibels they count the same too.
    """
    absolute = _mean(errors.abs()) / (_mean(bicubic.abs()) + _FLOOR)
    squared = (_mean(errors**2) / (_mean(bicubic**2) + _FLOOR**2) + 1e-4).sqrt()
    change, usual = errors.diff(dim=1).abs(), bicubic.diff(dim=1).abs()
    unsteady = _mean(change) / (_mean(usual) + _FLOOR) if errors.shape[1] > 1 else absolute
    total = 0.5 * absolute + 0.5 * squared + steadiness * unsteady
    mean: Tensor = total.mean() / (1 + steadiness)
    return mean


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1)


def _clipped(values: Tensor) -> Tensor:
    """Clipped to grey levels, with a slope outside, so that it is learned to come back."""
    inside = values.clamp(0, 255)
    return inside + 0.1 * (values - inside)
