"""Networks that were trained here, as recipes: their weights lie beside the code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from exporters.declaration import FP32, INPUT, OUTPUT, Kind, Model, Precision, Reference, State, Tensors, Tolerance
from exporters.errors import ExportFailed

if TYPE_CHECKING:  # torch takes seconds to import, and naming a model needs none of it
    from exporters.architectures.recurrent import RecurrentEnhancer

WEIGHTS = Path(__file__).resolve().parent / "weights"
INT8 = Tolerance(levels=8, exact=0.9, state=0.1)
"""For graphs with integers inside: where a value lies half-way between two steps it may go either way, by one step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A recurrent network, by name, with its weights; in int8 where there are ranges."""

    network: str
    """One of exporters.train.networks."""
    ranges: Path | None = None
    """What `python -m exporters.train.quantise` found out; None: float32."""
    reproducible: bool = True

    @property
    def architecture(self) -> str:
        """In words."""
        from exporters.train.networks import network

        shape = network(self.network).shape
        return f"recurrent enhancer, {shape.depth} x {shape.channels} channels" + (", int8" if self.ranges else "")

    @property
    def checkpoint(self) -> Path:
        """The weights."""
        return WEIGHTS / f"{self.network}.safetensors"

    def graph(self, model: Model) -> onnx.ModelProto:
        """As exporters.architectures.recurrent_onnx lays it out."""
        from exporters.architectures import recurrent_onnx

        del model
        return recurrent_onnx.build(self.load())

    def reference(self, model: Model) -> Reference:
        """By torch."""
        import torch

        from exporters.architectures.recurrent import to_frames

        network, (state,) = self.load(), model.state

        def compute(tensors: Tensors) -> Tensors:
            with torch.inference_mode():
                given = torch.from_numpy(tensors[state.input])[None]
                blocks, kept = network(torch.from_numpy(tensors[INPUT]), given)
            return {OUTPUT: to_frames(blocks, network.side).numpy(), state.output: kept[0].numpy()}

        return compute

    def load(self) -> RecurrentEnhancer:
        """The network with its weights. Raises ExportFailed when they are missing or another network's."""
        from exporters.architectures import quantised
        from exporters.architectures.recurrent import RecurrentEnhancer
        from exporters.train.networks import network

        loaded = RecurrentEnhancer(network(self.network).shape)
        try:
            loaded.load(self.checkpoint)
            return quantised.QuantisedEnhancer(loaded, quantised.load(self.ranges)) if self.ranges else loaded
        except (OSError, RuntimeError) as error:
            raise ExportFailed(f"{self.checkpoint}: {error}") from error


def trained(
    name: str, *, network: str = "", scale: int, overlap: int, description: str, kind: Kind = Kind.ENHANCE
) -> Model:
    """The declaration of a network that was trained here; `network` is given where it has another name, in int8."""
    ranges = WEIGHTS / f"{name}.safetensors" if network else None
    return Model(
        name=name,
        kind=kind,
        scale=scale,
        size_multiple=2,
        overlap=overlap,
        max_batch=1,
        license="Apache-2.0",
        source="trained here: docs/enhance.md",
        description=description,
        precision=Precision.INT8 if ranges else Precision.FP32,
        state=(State(channels=8, divisor=2),),
        recipe=Trained(network=network or name, ranges=ranges),
        tolerance=INT8 if ranges else FP32,
    )
