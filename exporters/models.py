"""Every built-in model."""

from __future__ import annotations

from exporters import bicubic
from exporters.declaration import Handmade, Kind, Model, Tolerance
from exporters.trained import trained

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
    trained(
        "enhance_x2",
        scale=2,
        overlap=16,
        description="Twice the size by a small recurrent network; what it adds to bicubic it learned from films.",
    ),
    trained(
        "enhance_x2_hq",
        scale=2,
        overlap=24,
        description="Twice the size by a larger network than enhance_x2, for those who have four times the time.",
    ),
    trained(
        "enhance_x2_int8",
        network="enhance_x2",
        scale=2,
        overlap=16,
        description="enhance_x2 in integers, for CPUs: faster, and a little less exact.",
    ),
    trained(
        "denoise",
        kind=Kind.DENOISE,
        scale=1,
        overlap=16,
        description="Less noise and fewer traces of compression, by a small recurrent network that sees the past.",
    ),
)
