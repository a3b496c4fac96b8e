"""Torch networks as graphs: uint8 frames at the edges, the conversion to and from floats inside.

A network takes and gives floats, RGB, `[frames, channels, height, width]`, 0 to 1:

    forward(frames) -> frames
    forward(frames, mask) -> frames                     mask `[frames, 1, height, width]`, 0 or 1, for Kind.INPAINT
    forward(frames, *states) -> (frames, *states)       states as State says; frames in the film's order
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch

from exporters.checkpoint import read_weights
from exporters.declaration import HEIGHT, OUTPUT, WIDTH, Model, Precision, Reference, Tensors
from exporters.errors import ExportFailed
from exporters.shuffle import bytes_before_shuffle

OPSET = 20
"""The newest the exporter writes; ONNX Runtime 1.17 and later read it, which all Triton containers since 24.02 have."""
_EXAMPLE = (2, 48, 56)  # no two sides alike, and none of them 1: a size that were taken for a constant shows up


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A recipe: a network and the file of its weights."""

    architecture: str
    make: Callable[[], torch.nn.Module]
    """The network without its weights."""
    checkpoint: Path | None
    """A state dict, as .pth or .safetensors; None when `make` gives it with its weights."""
    raw: bool = False
    """Whether the network takes and gives the graph's own tensors: uint8 frames, NHWC, and states."""
    rewrite: Callable[[torch.nn.Module], torch.nn.Module] = lambda network: network
    """The same network in operators that ONNX has; the reference is computed without it."""
    reproducible: bool = True

    def graph(self, model: Model) -> onnx.ModelProto:
        """By tracing. Raises ExportFailed when an operator has no ONNX equivalent."""
        edges = self._between_edges(self.rewrite(self.load()), model, half=model.precision is Precision.FP16)
        return bytes_before_shuffle(_trace(edges, model))

    def reference(self, model: Model) -> Reference:
        """By torch itself, in fp32."""
        edges = self._between_edges(self.load(), model, half=False)

        def compute(tensors: Tensors) -> Tensors:
            with torch.inference_mode(), _one_thread():
                results = edges(*(torch.from_numpy(tensors[name]) for name in model.inputs))
            results = results if isinstance(results, tuple) else (results,)
            return {name: result.numpy() for name, result in zip(model.outputs, results, strict=True)}

        return compute

    def _between_edges(self, network: torch.nn.Module, model: Model, *, half: bool) -> torch.nn.Module:
        return network if self.raw else Edges(network, masked=model.takes_mask, half=half)

    def load(self) -> torch.nn.Module:
        """The network with its weights, for inference. Raises ExportFailed when they do not fit."""
        network = self.make().eval()
        if self.checkpoint is not None:
            try:
                network.load_state_dict(read_weights(self.checkpoint))
            except RuntimeError as error:
                raise ExportFailed(f"{self.checkpoint} does not fit {self.architecture}: {error}") from error
        return network.requires_grad_(False)


class Edges(torch.nn.Module):
    """A network between uint8 NHWC tensors; states pass as they are."""

    def __init__(self, network: torch.nn.Module, *, masked: bool, half: bool) -> None:
        super().__init__()
        self._half = half
        self._network = network.half() if half else network
        self._masked = masked

    def forward(self, frames: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Frames and what else the model takes; frames and states."""
        pixels = self._floats(frames.permute(0, 3, 1, 2)) / 255
        if self._masked:
            others = ((self._floats(others[0].permute(0, 3, 1, 2)) > 127).to(pixels.dtype),)
        else:
            others = tuple(self._floats(state) for state in others)
        result = self._network(pixels, *others)
        pixels, *states = result if isinstance(result, tuple) else (result,)
        # adding a half and cutting off is rounding, without an operator of its own
        levels = (pixels.float().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
        return levels.permute(0, 2, 3, 1).contiguous(), *(state.float() for state in states)

    def _floats(self, values: torch.Tensor) -> torch.Tensor:
        return values.half() if self._half else values.float()


def _trace(edges: torch.nn.Module, model: Model) -> onnx.ModelProto:
    try:
        with _quiet(), torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            torch.onnx.export(
                edges.eval(),
                _example(model),
                file,
                input_names=list(model.inputs),
                output_names=list(model.outputs),
                dynamic_axes=_dynamic_axes(model),
                opset_version=OPSET,
                # the tracing exporter: graphs a tenth of the size, in a tenth of the time, the same bytes each time
                dynamo=False,
            )
            graph = onnx.load(file)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ExportFailed(f"{model.name} cannot be written as ONNX: {_first_sentence(error, reason)}") from error
    return _tidied(graph)


def _example(model: Model) -> tuple[torch.Tensor, ...]:
    frames, height, width = example_size(model)
    generator = torch.Generator().manual_seed(0)
    example = [torch.randint(0, 256, (frames, height, width, 3), dtype=torch.uint8, generator=generator)]
    if model.takes_mask:
        example.append(torch.randint(0, 256, (frames, height, width, 1), dtype=torch.uint8, generator=generator))
    example.extend(torch.from_numpy(state.zeros(height, width)) for state in model.state)
    return tuple(example)


def example_size(model: Model) -> tuple[int, int, int]:
    """Frames, height and width that fit the model."""
    frames, height, width = _EXAMPLE
    return min(frames, model.max_batch), *model.fitting(height, width)


def _dynamic_axes(model: Model) -> dict[str, dict[int, str]]:
    sizes = {} if model.fixed_size else {1: HEIGHT, 2: WIDTH}
    axes = {name: {0: "batch", **sizes} for name in model.inputs}
    axes[OUTPUT] = {0: "batch", **{axis: f"out_{side}" for axis, side in sizes.items()}}
    for state in model.state:
        for name in (state.input, state.output):
            axes[name] = {1: f"{name.lower()}_height", 2: f"{name.lower()}_width"}
    return axes


def _tidied(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Without what depends on where and how it was made: paths and scopes of the sources."""
    graph.producer_name, graph.producer_version, graph.doc_string = "framewire", "", ""
    for node in graph.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return graph


def _first_sentence(error: Exception, otherwise: str) -> str:
    first = str(error).strip().partition("\n")[0]
    return first if first and len(first) < 300 else otherwise[:300]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """For small pictures: threads that spin while they wait for each other take longer than the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks: what they warn of is what the parity check looks for."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.jit")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
