"""What a file may ask of us. Declared sizes are checked before a decoder is opened, real ones while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

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
    max_duration: float = 24 * 3600.0
    """Seconds from the first frame to the last."""
    max_frames: int = 6_000_000
    """Frames in all; a day at 60 a second has fewer."""
    max_packets: int = 50_000_000
    """Packets of all tracks together."""
    max_packet_bytes: int = 128 << 20
    """One packet; an uncompressed frame of the largest size fits."""
    max_tracks: int = 64
    """Tracks of every kind."""
    max_chapters: int = 2_000
    max_tag_bytes: int = 1 << 20
    """Names and values of all tags together: the file's, its tracks', its chapters'."""
    picture_seconds: float = 60.0
    """Seconds of processor time from one decoded picture to the next."""
    io_timeout: float = 30.0
    """Seconds one read of the file may take."""

    def of_results(self) -> MediaLimits:
        """For reading what was written: a result may be larger than an input."""
        return replace(self, max_input_pixels=self.max_output_pixels, max_input_side=self.max_output_side)

    def check_input(self, width: int, height: int) -> None:
        """Raise MediaError (MEDIA_TOO_LARGE) for a picture that is over the limit."""
        if width * height > self.max_input_pixels or max(width, height) > self.max_input_side:
            raise _too_large(
                f"the picture is {width}x{height}; at most {self.max_input_pixels / 1e6:.1f} megapixels and "
                f"{self.max_input_side} pixels a side can be processed, so scale it down first"
            )

    def check_output(self, width: int, height: int) -> None:
        """Raise StepError (STEP_INVALID) when the steps would make a picture that cannot be encoded."""
        if width * height > self.max_output_pixels or max(width, height) > self.max_output_side:
            raise StepError(
                f"the result would be {width}x{height}; at most {self.max_output_pixels / 1e6:.1f} megapixels and "
                f"{self.max_output_side} pixels a side can be written, so ask for a smaller scale"
            )

    def check_promises(self, *, tracks: int, chapters: int, seconds: float, tags: Iterable[str]) -> None:
        """Raise MediaError (MEDIA_TOO_LARGE) for a file whose header already says too much."""
        if tracks > self.max_tracks:
            raise _too_large(f"the file has {tracks} tracks; at most {self.max_tracks} can be kept, so remove some")
        if chapters > self.max_chapters:
            raise _too_large(f"the file has {chapters} chapters; at most {self.max_chapters} can be kept")
        if sum(len(text.encode(errors="replace")) for text in tags) > self.max_tag_bytes:
            raise _too_large(f"the file's tags take more than {self.max_tag_bytes} bytes; remove some")
        self.check_duration(seconds)

    def check_duration(self, seconds: float) -> None:
        """Raise MediaError (MEDIA_TOO_LARGE) for a film that is too long."""
        if seconds > self.max_duration:
            raise _too_large(
                f"the film lasts {seconds / 3600:.1f} hours; at most {self.max_duration / 3600:g} can be processed,"
                " so cut it into parts"
            )


class Budget:
    """What a file has asked of us so far. For one thread, whose processor time it counts."""

    def __init__(self, limits: MediaLimits, *, clock: Callable[[], float] = time.thread_time) -> None:
        self._limits = limits
        self._clock = clock
        self._packets = 0
        self._frames = 0
        self._since = clock()

    def packet(self, size: int) -> None:
        """One more packet of the file. Raises MediaError: MEDIA_TOO_LARGE, or MEDIA_UNREADABLE."""
        self._packets += 1
        if size > self._limits.max_packet_bytes:
            raise _too_large(f"a packet of the file has {size} bytes; at most {self._limits.max_packet_bytes} are read")
        if self._packets > self._limits.max_packets:
            raise _too_large(f"the file has more than {self._limits.max_packets} packets; cut it into parts")
        if self._clock() - self._since > self._limits.picture_seconds:
            raise MediaError(
                f"no picture came out of {self._limits.picture_seconds:g} s of decoding; check that the file plays"
            )

    def picture(self, width: int, height: int, seconds: float) -> None:
        """One more picture, shown `seconds` after the first. Raises MediaError (MEDIA_TOO_LARGE)."""
        self._since = self._clock()
        self._frames += 1
        self._limits.check_input(width, height)
        self._limits.check_duration(seconds)
        if self._frames > self._limits.max_frames:
            raise _too_large(f"the film has more than {self._limits.max_frames} frames; cut it into parts")


def _too_large(message: str) -> MediaError:
    return MediaError(message, code=ErrorCode.MEDIA_TOO_LARGE)
