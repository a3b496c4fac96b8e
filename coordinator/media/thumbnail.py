"""One picture that stands for a film: from its first third, and not a black one if there is another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from coordinator.media.jpeg import Photographer
from coordinator.media.limits import MediaLimits
from coordinator.media.open import main_video, open_input
from coordinator.media.probe import VideoFacts

WIDTH = 640
MOST_BYTES = 100_000
_LIVELY = 16.0
"""Standard deviation of luma, in levels of 8 bits, of a picture that shows something."""
_LOOKS = 6
"""Pictures looked at, at most."""


def make_thumbnail(units: Sequence[Path], facts: VideoFacts) -> bytes:
    """JPEG of the first picture of one of `units`, the parts of the result that begin in its first third.

    Raises av.FFmpegError.
    """
    return _photograph(map(_first_picture, _spread(units)), facts)


def make_film_thumbnail(path: Path, facts: VideoFacts, seconds: float, limits: MediaLimits) -> bytes:
    """The same for a file of this length that is whole. Raises av.FFmpegError, MediaError."""
    with open_input(path, limits) as film:
        video = main_video(film, limits)
        moments = [int(seconds / 3 * number / _LOOKS * av.time_base) for number in range(_LOOKS, 0, -1)]
        return _photograph((_picture_at(film, video, moment) for moment in moments), facts)


def _picture_at(film: InputContainer, video: VideoStream, moment: int) -> VideoFrame | None:
    """The key frame at or before so many microseconds."""
    film.seek(moment)
    return next(iter(film.decode(video)), None)


def _photograph(frames: Iterable[VideoFrame | None], facts: VideoFacts) -> bytes:
    best: VideoFrame | None = None
    liveliest = -1.0
    for frame in frames:
        if frame is None:
            continue
        lively = _liveliness(frame)
        if lively > liveliest:
            best, liveliest = frame, lively
        if lively >= _LIVELY:
            break
    return Photographer(facts, width=WIDTH, most_bytes=MOST_BYTES).jpeg(best) if best is not None else b""


def _spread(units: Sequence[Path]) -> list[Path]:
    """A few of them, from the last: films begin with titles and black."""
    step = -(-len(units) // _LOOKS)
    return list(reversed(units))[:: max(1, step)]


def _first_picture(path: Path) -> VideoFrame | None:
    with av.open(f"file:{path.absolute()}", format="mp4") as unit:
        return next(iter(unit.decode(unit.streams.video[0])), None)


def _liveliness(frame: VideoFrame) -> float:
    luma = frame.planes[0]
    kind = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    samples = np.frombuffer(memoryview(luma), kind).reshape(luma.height, -1)[::4, : luma.width : 4]
    return float(samples.std()) / (1 << (frame.format.components[0].bits - 8))
