"""How large a picture and a track may be. Checked before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from framewire.errors import ErrorCode, MediaError, StepError


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """Bounds on what is opened and made."""

    max_input_pixels: int = 4096 * 2304
    """Width times height of a frame that is decoded."""
    max_input_side: int = 4096
    """Width or height of a frame that is decoded."""
    max_output_pixels: int = 8192 * 4608
    """Width times height of a frame that is encoded."""
    max_output_side: int = 16384
    """Width or height of a frame that is encoded; the encoder takes no more."""
    io_timeout: float = 30.0
    """Seconds one read of the file may take."""

    def check_input(self, width: int, height: int) -> None:
        """Raise MediaError (MEDIA_TOO_LARGE) for a picture that is over the limit."""
        if width * height > self.max_input_pixels or max(width, height) > self.max_input_side:
            raise MediaError(
                f"the picture is {width}x{height}; at most {self.max_input_pixels / 1e6:.1f} megapixels and "
                f"{self.max_input_side} pixels a side can be processed, so scale it down first",
                code=ErrorCode.MEDIA_TOO_LARGE,
            )

    def check_output(self, width: int, height: int) -> None:
        """Raise StepError (STEP_INVALID) when the steps would make a picture that cannot be encoded."""
        if width * height > self.max_output_pixels or max(width, height) > self.max_output_side:
            raise StepError(
                f"the result would be {width}x{height}; at most {self.max_output_pixels / 1e6:.1f} megapixels and "
                f"{self.max_output_side} pixels a side can be written, so ask for a smaller scale"
            )
