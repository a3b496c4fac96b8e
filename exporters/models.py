"""Every built-in model."""

from __future__ import annotations

from exporters import bicubic
from exporters.declaration import Handmade, Model, Tolerance

MODELS: tuple[Model, ...] = (
    Model(
        name="upscale_bicubic_x2",
        scale=2,
        overlap=2,
        max_batch=8,
        license="Apache-2.0",
        description="Twice the size by bicubic interpolation; nothing learned, nothing invented.",
        instances=2,
        recipe=Handmade(architecture="bicubic", build=bicubic.build, compute=bicubic.reference),
        # a value that lies half-way between two levels may go either way
        tolerance=Tolerance(levels=1, exact=0.9999),
    ),
)
