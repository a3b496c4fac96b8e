"""How much an encoder holds in memory, and what it is told so that it holds no more than a runner may.

An encoder looks ahead before it decides about a picture, keeps pictures to predict others from, and works at several at
once. All of that grows with the picture. So the larger it is, the fewer an encoder may keep: first it looks less far
ahead, then it has one reference, then it reorders nothing. What is chosen follows from the film and the settings
alone, because units that are encoded apart have to fit together.

The numbers were measured (`make bench-memory`); they are MiB for each million pixels of 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from framewire.steps.output import PRESETS

RUNNER_MEMORY: Final = 512
"""MiB a runner shall hold, whatever the picture; blocks that it shares with the model server are not among them."""
_PROGRAM: Final = 60
"""MiB of a runner without a picture."""
_PLANAR, _PACKED = 1.43, 2.86
"""MiB of a million pixels: 4:2:0 and RGB, of 8 bits."""
_DEEP: Final = 2.2
"""Times so much for 10 bits, with what a decoder keeps beside them."""
_DECODED: Final = 8
"""Pictures that a decoder refers to, and those that have just come from it."""
_DRAWN: Final = 4
"""Pictures between the models and the encoder."""
_AHEAD: Final = 10
"""Pictures to look ahead that are worth more than a second reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSizes:
    """Of one film and its result."""

    source: int
    """Pixels of a picture that is read."""
    result: int
    """Pixels of a picture that is written."""
    source_depth: int
    """Bits a sample."""
    depth: int
    """Bits a sample."""

    @property
    def room(self) -> float:
        """MiB there are for encoders; negative when the pictures alone take more."""
        read = self.source / 1e6 * (_DECODED * _PLANAR * _bytes(self.source_depth) + _PACKED)
        written = self.result / 1e6 * _DRAWN * _PLANAR * _bytes(self.depth)
        return RUNNER_MEMORY - _PROGRAM - read - written


@dataclass(frozen=True, slots=True, kw_only=True)
class Diet:
    """What an encoder is told."""

    params: str
    """In the encoder's own words; neutral value: "", what the preset says fits."""
    megabytes: float
    """What it will hold, about."""
    alone: bool
    """There is no room for a second one: close it before the next is opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Preset:
    ahead: int
    reordered: int
    references: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Appetite:
    """MiB for a million pixels of 8 bits."""

    fixed: float
    ahead: float
    """A picture looked at ahead."""
    reordering: tuple[float, float]
    """Reordering one picture, and more."""
    reference: float
    """Each but the first."""
    deep: float
    """Times so much for 10 bits."""
    beyond: int
    """Pictures it must look further ahead than it reorders."""

    def megabytes(self, sizes: PictureSizes, kept: _Preset) -> float:
        """Of one encoder."""
        each = self.fixed + self.ahead * max(kept.ahead, kept.reordered) + self.reference * (kept.references - 1)
        each += self.reordering[min(kept.reordered, 2) - 1] if kept.reordered else 0.0
        return each * sizes.result / 1e6 * (self.deep if sizes.depth > 8 else 1)


_X264 = _Appetite(fixed=21.1, ahead=3.1, reordering=(6.0, 15.0), reference=8.0, deep=1.9, beyond=0)
_X265 = _Appetite(fixed=60.0, ahead=7.9, reordering=(13.4, 13.4), reference=12.0, deep=1.5, beyond=1)


def _presets(ahead: tuple[int, ...], reordered: tuple[int, ...], references: tuple[int, ...]) -> dict[str, _Preset]:
    rows = zip(PRESETS, ahead, reordered, references, strict=True)
    return {name: _Preset(ahead=a, reordered=b, references=r) for name, a, b, r in rows}


_X264_PRESETS = _presets((0, 0, 10, 20, 30, 40, 50, 60, 60), (0, 3, 3, 3, 3, 3, 3, 3, 8), (1, 1, 1, 2, 2, 3, 5, 8, 16))
_X265_PRESETS = _presets((5, 10, 15, 15, 15, 20, 25, 40, 40), (3, 3, 4, 4, 4, 4, 4, 8, 8), (1, 1, 2, 2, 3, 3, 4, 5, 5))
_SVT_DEEP = 1.13
_SVT = (
    (328.0, "lp=4"),
    (270.0, "lp=3"),
    (215.0, "lp=2"),
    (174.0, "lp=1"),  # so far the frames are the same
    (86.0, "lp=1:lookahead=0:hierarchical-levels=3"),
    (70.0, "lp=1:lookahead=0:hierarchical-levels=2"),
)


def diet_of(encoder: str, preset: str, sizes: PictureSizes) -> Diet:
    """What an encoder is told for pictures of these sizes; nothing when it is a GPU's, which has memory of its own."""
    match encoder:
        case "libx264":
            return _for_x264(preset, sizes)
        case "libx265":
            return _for_x265(preset, sizes)
        case "libsvtav1":
            return _for_svt(sizes)
    return Diet(params="", megabytes=0.0, alone=False)


def _for_x264(preset: str, sizes: PictureSizes) -> Diet:
    usual = _X264_PRESETS[preset]
    kept = _fitting(_X264, usual, sizes)
    return _diet(_X264, sizes, usual, kept, {})


def _for_x265(preset: str, sizes: PictureSizes) -> Diet:
    usual = _X265_PRESETS[preset]
    kept = _fitting(_X265, usual, sizes)
    return _diet(_X265, sizes, usual, kept, {"frame-threads": 1})


def _for_svt(sizes: PictureSizes) -> Diet:
    held = [(each * sizes.result / 1e6 * (_SVT_DEEP if sizes.depth > 8 else 1), params) for each, params in _SVT]
    megabytes, params = next((each for each in held if each[0] <= sizes.room), held[-1])
    return Diet(params=params, megabytes=megabytes, alone=2 * megabytes > sizes.room)


def _diet(appetite: _Appetite, sizes: PictureSizes, usual: _Preset, kept: _Preset, more: dict[str, int]) -> Diet:
    megabytes = appetite.megabytes(sizes, kept)
    told = {} if kept == usual else _told(kept) | (more if kept.reordered < usual.reordered else {})
    return Diet(
        params=":".join(f"{name}={value}" for name, value in told.items()),
        megabytes=megabytes,
        alone=2 * megabytes > sizes.room,
    )


def _told(kept: _Preset) -> dict[str, int]:
    return {"rc-lookahead": kept.ahead, "bframes": kept.reordered, "ref": kept.references}


def _fitting(appetite: _Appetite, usual: _Preset, sizes: PictureSizes) -> _Preset:
    """The most that fits; the least there is when nothing does."""
    last = usual
    for last in _choices(appetite, usual):
        if appetite.megabytes(sizes, last) <= sizes.room:
            break
    return last


def _choices(appetite: _Appetite, usual: _Preset) -> Iterator[_Preset]:
    """From the preset's own down: less far ahead, then fewer references, then nothing reordered."""
    for reordered, references, least in (
        (usual.reordered, usual.references, _AHEAD),
        (min(usual.reordered, 3), 1, 1),
        (0, 1, 1),
    ):
        nearest = min(usual.ahead, max(least, reordered + appetite.beyond))
        for ahead in range(usual.ahead, nearest - 1, -1):
            yield _Preset(ahead=ahead, reordered=reordered, references=references)


def _bytes(depth: int) -> float:
    return _DEEP if depth > 8 else 1
