"""What a picture of more than 8 bits holds below the eighth: carried around models, which see 8 bits.

    10 bits ──> 8-bit RGB ──> models ──> 10 bits, 0 to 3 in every last two bits ──(+)──> encoder
        └── minus the 8-bit RGB turned back ──> detail ──> resized ─────────────────┘

So a model that changes nothing gives back what it got, and slow gradients stay free of bands. The detail is at most
one level of 8 bits: whatever is larger the model has seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

DEEP_FORMAT = "yuv420p10le"
_LEVEL = 4
"""Levels of 10 bits in one of 8."""
_TOP = 1023


@dataclass(frozen=True, slots=True)
class Detail:
    """The part of one picture that 8-bit RGB cannot hold, in levels of 10 bits."""

    planes: tuple[NDArray[np.int8], ...]
    """Luma and two chroma planes of half its size, -4 to 4."""

    @classmethod
    def between(cls, deep: VideoFrame, shallow: VideoFrame) -> Detail:
        """What `deep` has over `shallow`; both `yuv420p10le`, of one size."""
        return cls(tuple(_difference(*pair) for pair in zip(_samples(deep), _samples(shallow), strict=True)))

    def add_to(self, frame: VideoFrame, scale: int) -> None:
        """Put it, enlarged `scale` times, on top of a `yuv420p10le` picture from its top left."""
        for plane, samples in zip(self.planes, _samples(frame), strict=True):
            larger = plane if scale == 1 else _enlarged(plane, scale)
            rows, columns = min(larger.shape[0], samples.shape[0]), min(larger.shape[1], samples.shape[1])
            part = samples[:rows, :columns]
            sums = part.view(np.int16) + larger[:rows, :columns]  # 1023 and 4 are far from where an int16 ends
            np.clip(sums, 0, _TOP, out=sums)
            part[...] = sums.view(np.uint16)


def _samples(frame: VideoFrame) -> list[NDArray[np.uint16]]:
    """The planes of a frame of 10 bits, without the padding of their lines; not copied."""
    return [
        np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1)[:, : plane.width]
        for plane in frame.planes
    ]


def _difference(deep: NDArray[np.uint16], shallow: NDArray[np.uint16]) -> NDArray[np.int8]:
    difference = deep.view(np.int16) - shallow.view(np.int16)
    return np.clip(difference, -_LEVEL, _LEVEL).astype(np.int8)


def _enlarged(plane: NDArray[np.int8], scale: int) -> NDArray[np.int8]:
    """Bilinear, so that no edge appears where a picture has none."""
    height, width = plane.shape
    gray = VideoFrame.from_ndarray((plane + np.int8(64)).astype(np.uint8), format="gray")
    larger = VideoReformatter().reformat(
        gray, width=width * scale, height=height * scale, interpolation=Interpolation.BILINEAR, threads=1
    )
    samples = np.frombuffer(memoryview(larger.planes[0]), np.uint8).reshape(height * scale, -1)[:, : width * scale]
    return samples.astype(np.int8) - np.int8(64)
