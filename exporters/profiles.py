"""The sizes TensorRT optimises a model for: a least, a usual and a largest shape of each input."""

from __future__ import annotations

from dataclasses import dataclass

from exporters.declaration import INPUT, MASK, Model

_LEAST, _USUAL, _LARGEST = (16, 16), (720, 1280), (2160, 3840)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Shapes by input; every request lies between `least` and `largest`."""

    least: dict[str, tuple[int, ...]]
    usual: dict[str, tuple[int, ...]]
    """What the engine is tuned for."""
    largest: dict[str, tuple[int, ...]]


def profile_of(model: Model) -> Profile:
    """One frame of 16x16 up to full batches of 2160p, tuned for 720p; fitted to what the model takes."""
    return Profile(
        least=_shapes(model, 1, _LEAST),
        usual=_shapes(model, model.max_batch, _USUAL),
        largest=_shapes(model, model.max_batch, _LARGEST),
    )


def profile_text(shapes: dict[str, tuple[int, ...]]) -> str:
    """As ONNX Runtime wants them: `FRAMES_IN:8x720x1280x3`."""
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())


def _shapes(model: Model, batch: int, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    height, width = model.fitting(*size)
    shapes: dict[str, tuple[int, ...]] = {INPUT: (batch, height, width, 3)}
    if model.takes_mask:
        shapes[MASK] = (batch, height, width, 1)
    for state in model.state:
        shapes[state.input] = (state.channels, height // state.divisor, width // state.divisor)
    return shapes
