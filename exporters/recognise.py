"""A community checkpoint as a declared model: what it is follows from its weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from spandrel import (
    MAIN_REGISTRY,
    ImageModelDescriptor,
    MaskedImageModelDescriptor,
    ModelTiling,
    UnsupportedModelError,
    canonicalize_state_dict,
)

from exporters.checkpoint import read_weights
from exporters.declaration import FP16, FP32, Kind, Model, Precision
from exporters.errors import ExportFailed
from exporters.fourier import rewrite_fourier_units
from exporters.labels import Labels
from exporters.network import Network
from exporters.reach import reach_of

Descriptor: TypeAlias = ImageModelDescriptor[torch.nn.Module] | MaskedImageModelDescriptor[torch.nn.Module]

_KINDS = {"SR": Kind.ENHANCE, "Restoration": Kind.DENOISE, "FaceSR": Kind.FACE, "Inpainting": Kind.INPAINT}
_WHAT = {
    Kind.ENHANCE: "{scale} times the size",
    Kind.DENOISE: "Restoration",
    Kind.FACE: "Restoration of a face",
    Kind.INPAINT: "Inpainting",
}
_LARGEST_LEAST_SIZE = 128
_MAX_BATCH = 8
_HEAVY = 8_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised(Network):
    """A recipe: a network that was built from its weights."""

    descriptor: Descriptor

    def load(self) -> torch.nn.Module:
        """A copy of it, for inference."""
        return copy.deepcopy(_Called(self.descriptor)).eval().requires_grad_(False)


class _Called(torch.nn.Module):
    """A network as spandrel calls it, on frames of three colours."""

    def __init__(self, descriptor: Descriptor) -> None:
        super().__init__()
        self.network = descriptor.model
        # the public call takes one picture at a time, under inference_mode, which cannot be traced
        self._call = descriptor._call_fn
        self._grey = descriptor.input_channels == 1

    def forward(self, frames: torch.Tensor, *mask: torch.Tensor) -> torch.Tensor:
        """Frames; a network for grey pictures sees each colour as one."""
        if not self._grey:
            result: torch.Tensor = self._call(self.network, frames, *mask)
            return result
        batch, colours, height, width = frames.shape
        planes: torch.Tensor = self._call(self.network, frames.reshape(batch * colours, 1, height, width), *mask)
        return planes.reshape(batch, colours, planes.shape[-2], planes.shape[-1])


def recognise(path: Path, labels: Labels) -> Model:
    """The model in this checkpoint. Raises ExportFailed when it is broken, refused or of no known architecture."""
    descriptor = _descriptor(path)
    if descriptor.input_channels not in (1, 3) or descriptor.output_channels != descriptor.input_channels:
        channels = f"{descriptor.input_channels} to {descriptor.output_channels}"
        raise ExportFailed(f"{path} takes pictures of {channels} channels; colour pictures have 3")
    kind = _KINDS[descriptor.purpose]
    size = descriptor.size_requirements
    weights = sum(parameter.numel() for parameter in descriptor.model.parameters())
    what = _WHAT[kind].format(scale=descriptor.scale)
    model = Model(
        name=labels.name,
        kind=kind,
        scale=descriptor.scale,
        size_multiple=size.multiple_of,
        min_size=max(1, size.minimum),
        fixed_size=size.minimum or 512 if size.square else None,
        overlap=None,
        max_batch=1 if size.square or weights > _HEAVY else _MAX_BATCH,
        heavy=weights > _HEAVY,
        license=labels.license,
        source=labels.source,
        description=labels.description or f"{what}, {descriptor.architecture.name} {' '.join(descriptor.tags)}".strip(),
        precision=labels.precision,
        recipe=Recognised(
            architecture=descriptor.architecture.name,
            make=lambda: descriptor.model,
            checkpoint=path,
            rewrite=rewrite_fourier_units,
            descriptor=descriptor,
        ),
        tolerance=FP16 if labels.precision is Precision.FP16 else FP32,
    )
    return _measured(model, tiles=descriptor.tiling is ModelTiling.SUPPORTED and kind is not Kind.INPAINT)


def _descriptor(path: Path) -> Descriptor:
    weights = read_weights(path)
    try:
        descriptor = MAIN_REGISTRY.load(canonicalize_state_dict(weights))
    except UnsupportedModelError as error:
        count = len(MAIN_REGISTRY.architectures("detection"))
        raise ExportFailed(f"{path} is of none of the {count} architectures that are known here") from error
    # what a network says of weights that do not fit it is its own matter
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ExportFailed(f"{path} is broken: its weights do not fit together ({reason})") from error
    for name, weight in descriptor.model.named_parameters():
        if not torch.isfinite(weight).all():  # it would give the same rubbish everywhere, and so pass for proven
            raise ExportFailed(f"{path} is broken: {name} holds values that are no finite numbers")
    return descriptor


def _measured(model: Model, *, tiles: bool) -> Model:
    """With the least size it really takes, and how far it looks."""
    compute = model.recipe.reference(model)
    size = model.min_size
    while not model.fixed_size:
        height, width = model.fitting(size, size)
        try:
            compute(model.feeds(np.zeros((1, height, width, 3), np.uint8)))
            break
        except (RuntimeError, ValueError, AssertionError) as error:
            size = 2 * height
            if size > _LARGEST_LEAST_SIZE:
                raise ExportFailed(f"{model.name} cannot be computed: {' '.join(str(error).split())[:200]}") from error
    model = replace(model, min_size=size if not model.fixed_size else 1)
    return replace(model, overlap=reach_of(model)) if tiles and not model.fixed_size else model
