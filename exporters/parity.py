"""Proof that an exported graph computes what its reference computes, wherever it is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from exporters.declaration import INPUT, OUTPUT, Frames, Model, Reference, Tensors, Tolerance
from exporters.errors import ExportFailed

# one pixel, tiny, odd, prime, wide, tall, and a real picture's proportions
SHAPES = ((1, 1, 1), (1, 2, 1), (2, 1, 3), (1, 3, 5), (3, 8, 8), (1, 17, 33), (2, 31, 7), (1, 5, 129), (1, 90, 160))
SEEDS = (0, 1, 2)
FEW_SHAPES = ((1, 1, 1), (1, 17, 33), (1, 31, 7), (1, 48, 80))
"""For models that are heavy, and one seed."""

Tried = Callable[[], None]
"""Told after each request: for a progress bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Inputs, and what the reference makes of them."""

    feeds: Tensors
    expected: Tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a graph is from its reference over all that was tried."""

    levels: int
    """Largest difference in grey levels."""
    exact: float
    """Part of the values that are equal, 0 to 1."""
    values: int
    """How many were compared."""
    state: float = 0.0
    """Largest difference of any value of a state."""

    def within(self, tolerance: Tolerance) -> bool:
        """Whether that is near enough."""
        return self.levels <= tolerance.levels and self.exact >= tolerance.exact and self.state <= tolerance.state


def samples(model: Model, reference: Reference | None = None) -> Iterator[Sample]:
    """Noise with black and white in it, in every size the contract allows, with what the reference computes.

    A recurrent model goes on with the state it gave: its second request begins where the first ended.
    """
    compute = reference or model.recipe.reference(model)
    for seed in seeds(model):
        for batch, height, width in sizes(model):
            rng = np.random.default_rng(seed)
            feeds: dict[str, NDArray[Any]] = {}
            expected: Tensors = {}
            for _ in range(2 if model.state else 1):
                feeds = _request(model, rng, batch, height, width) | _remembered(model, expected)
                expected = _computed(model, compute, feeds)
                yield Sample(feeds=feeds, expected=expected)


def sizes(model: Model) -> list[tuple[int, int, int]]:
    """SHAPES made to fit the model, each once."""
    shapes = FEW_SHAPES if model.heavy else SHAPES
    fitted = ((min(batch, model.max_batch), *model.fitting(height, width)) for batch, height, width in shapes)
    return list(dict.fromkeys(fitted))


def seeds(model: Model) -> tuple[int, ...]:
    """What pictures are drawn from."""
    return SEEDS[:1] if model.heavy else SEEDS


def measure(model: Model, graph: bytes) -> Parity:
    """Compare the graph, run by ONNX Runtime, with the reference. Raises ExportFailed when it cannot be run."""
    return compare(model, list(samples(model)), session(graph))


def session(graph: bytes, *, threads: int = 0) -> Reference:
    """The graph on ONNX Runtime, with so many threads; 0: one for each core.

    Raises ExportFailed for a graph it does not take.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        opened = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors have no common base but this
        raise ExportFailed(f"ONNX Runtime does not take the graph: {_line(error)}") from error
    names = [output.name for output in opened.get_outputs()]

    def run(feeds: Tensors) -> Tensors:
        try:
            return dict(zip(names, opened.run(names, dict(feeds)), strict=True))
        except Exception as error:
            raise ExportFailed(f"ONNX Runtime cannot run the graph: {_line(error)}") from error

    return run


def compare(model: Model, tried: Sequence[Sample], run: Reference, told: Tried = lambda: None) -> Parity:
    """How far `run` is from what is expected. Raises ExportFailed when a result has not the shape it must have."""
    levels = unequal = values = 0
    state = 0.0
    for sample in tried:
        results = run(sample.feeds)
        for name, expected in sample.expected.items():
            result = results.get(name)
            _check_shape(model, name, sample, result)
            assert result is not None  # noqa: S101 - _check_shape has looked
            if name != OUTPUT:
                state = max(state, _largest(result, expected))
                continue
            difference = np.abs(result.astype(np.int16) - expected.astype(np.int16))
            levels = max(levels, int(difference.max()))
            unequal += int(np.count_nonzero(difference))
            values += difference.size
        told()
    return Parity(levels=levels, exact=1 - unequal / values, values=values, state=state)


def check(model: Model, found: Parity, where: str) -> None:
    """Raises ExportFailed when that is too far."""
    if not found.within(model.tolerance):
        allowed = model.tolerance
        state = f", state {found.state:.2g}" if model.state else ""
        raise ExportFailed(
            f"{model.name} on {where}: differs from its reference by up to {found.levels} levels,"
            f" {found.exact:.4%} equal{state}; allowed: {allowed.levels}, {allowed.exact:.4%}"
            + (f", state {allowed.state:.2g}" if model.state else "")
        )


def _request(model: Model, rng: np.random.Generator, batch: int, height: int, width: int) -> dict[str, NDArray[Any]]:
    mask = (rng.random((batch, height, width, 1)) < 0.3).astype(np.uint8) * 255
    return model.feeds(picture(rng, batch, height, width), mask)


def _remembered(model: Model, results: Tensors) -> dict[str, NDArray[Any]]:
    return {state.input: results[state.output] for state in model.state if state.output in results}


def _computed(model: Model, compute: Reference, feeds: Tensors) -> Tensors:
    frames = feeds[INPUT].shape
    try:
        results = compute(feeds)
    except RuntimeError as error:
        raise ExportFailed(f"{model.name}: the reference cannot compute {frames}: {_line(error)}") from error
    batch, height, width, _ = frames
    if results[OUTPUT].shape != (batch, height * model.scale, width * model.scale, 3):
        raise ExportFailed(f"{model.name}: {frames} gives {results[OUTPUT].shape}, not {model.scale} times that size")
    return results


def _check_shape(model: Model, name: str, sample: Sample, result: NDArray[Any] | None) -> None:
    expected = sample.expected[name]
    got = None if result is None else (result.shape, result.dtype)
    if got != (expected.shape, expected.dtype):
        given = [array.shape for array in sample.feeds.values()]
        raise ExportFailed(f"{model.name}: {given} gives {name} {got}, not {(expected.shape, expected.dtype)}")


def _largest(result: NDArray[Any], expected: NDArray[Any]) -> float:
    difference = np.abs(result.astype(np.float64) - expected.astype(np.float64))
    return float("inf") if np.isnan(difference).any() else float(difference.max(initial=0.0))


def picture(rng: np.random.Generator, batch: int, height: int, width: int) -> Frames:
    """Noise, with black and white in it, whose overshoot has to be clamped, and a quarter that is flat."""
    noise = rng.integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
    extreme = np.where(rng.random((batch, height, width, 1)) < 0.5, np.uint8(0), np.uint8(255))
    frames = np.where(rng.random((batch, height, width, 1)) < 0.3, extreme, noise).astype(np.uint8)
    frames[:, : height // 2, : width // 2] = rng.integers(0, 256, (batch, 1, 1, 3), dtype=np.uint8)
    return frames


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
