"""What an export has to know of the film it cuts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePath

from framewire.v1.asset_pb2 import MediaInfo

_USUAL_RATES = tuple(
    Fraction(*rate)
    for rate in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (48, 1), (50, 1), (60000, 1001), (60, 1))
)
_NEAR = 1e-5
"""A rate this near to a usual one, relatively, is that one: what a container rounds."""
_MOST_DENOMINATOR = 1001


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFilm:
    """A film as an edit list's times refer to it."""

    path: str
    """Where a program that opens the export finds it: a whole path, or a name beside the export."""
    seconds: Fraction
    """How long it is. Larger than 0."""
    rate: Fraction
    """Pictures a second; the average where that varies. Larger than 0."""
    width: int
    height: int
    sample_rate: int = 0
    """Of its first sound track; 0 when it has none."""
    channels: int = 0

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.rate <= 0:
            raise ValueError(f"a film of {self.seconds} s at {self.rate} pictures a second cannot be counted in frames")

    @classmethod
    def from_media(cls, media: MediaInfo, path: str) -> SourceFilm:
        """The film that an upload's facts tell of. Raises ValueError where they lack its length or its rate."""
        sound = media.audio[0] if media.audio else None
        return cls(
            path=path,
            seconds=Fraction(media.duration).limit_denominator(1_000_000),
            rate=exact_rate(media.video.fps),
            width=media.video.width,
            height=media.video.height,
            sample_rate=sound.sample_rate if sound else 0,
            channels=sound.channels if sound else 0,
        )

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return _unicode(PurePath(self.path).name)

    @property
    def title(self) -> str:
        """The file's name without folder and ending."""
        return _unicode(PurePath(self.path).stem)

    @property
    def frames(self) -> int:
        """Frames from its start to its end; at least one."""
        return max(1, nearest(self.seconds * self.rate))

    @property
    def has_sound(self) -> bool:
        """It has a sound track."""
        return self.channels > 0


def exact_rate(fps: float) -> Fraction:
    """The rate that a number with the precision of a float stands for: 29.97002997 is 30000/1001."""
    for rate in _USUAL_RATES:
        if math.isclose(fps, rate, rel_tol=_NEAR):
            return rate
    return Fraction(fps).limit_denominator(_MOST_DENOMINATOR)


def nearest(number: Fraction) -> int:
    """The nearest whole number; halves go up, so that whole steps stay whole wherever they begin."""
    return math.floor(number + Fraction(1, 2))


def _unicode(name: str) -> str:
    """Without the halves of letters that stand for bytes of a file's name that are not UTF-8."""
    return name.encode(errors="replace").decode()
