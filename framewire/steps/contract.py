"""What a step may rely on when it sends frames to a model."""

from __future__ import annotations

from dataclasses import dataclass

from framewire.v1.step_pb2 import ModelInfo

DEFAULT_ENHANCE_MODEL = "upscale_bicubic_x2"
DEFAULT_DENOISE_MODEL = "denoise"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContract:
    """A served model's contract, read from its own config.pbtxt through the server that serves it.

    Frames are uint8 RGB, NHWC: `[batch, height, width, 3]` in, `[batch, height*scale, width*scale, 3]` out.
    """

    name: str
    """Name in the repository."""
    version: str
    """Version the server serves."""
    input: str
    """Name of the tensor that takes frames."""
    output: str
    """Name of the tensor that gives frames."""
    scale: int
    """Output size / input size, per side."""
    size_multiple: int
    """Height and width must be multiples of this; neutral value: 1."""
    max_batch: int
    """Most frames in one request; at least 1."""
    license: str
    """SPDX identifier."""
    description: str
    """One sentence for people."""

    def to_proto(self) -> ModelInfo:
        """The part of it that the catalogue shows."""
        return ModelInfo(
            name=self.name, version=self.version, scale=self.scale, description=self.description, license=self.license
        )
