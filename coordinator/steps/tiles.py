"""How a picture is cut into tiles that overlap, and which part of each tile's result is kept.

All tiles of a picture have one size and begin at multiples of the model's size multiple, so that the model does with
every pixel what it would do with the whole picture. Where two tiles overlap, each is kept up to the middle: if they
overlap by twice what a result pixel looks at, no kept pixel has seen the edge of its tile.

    |<------ tile ------>|
    |         keep    |..|
                   |..|    keep         |
                   |<------ tile ------>|
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from coordinator.steps.interface import FrameSize
from framewire.errors import ErrorCode, StepError
from framewire.steps.contract import ModelContract

REQUEST_BYTES: Final = 1 << 30
"""What one picture may need inside the model server; a model that says how much it needs per pixel is tiled by it."""
_CAREFUL: Final = 64
"""Pixels each side by which tiles overlap when nobody knows how far the model looks: further than most do."""
_MOST_CUTS: Final = 128
"""Along one axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A tile along one axis, in pixels of the picture that goes in."""

    start: int
    """Where the tile begins."""
    keep_from: int
    keep_to: int
    """The part of the picture whose result comes from this tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """All tiles of a picture. Every pixel is kept from exactly one of them."""

    tile: FrameSize
    """Size of each tile, margins included."""
    tiles: tuple[tuple[Span, Span], ...]
    """Rows and columns of each."""


def most_pixels(contract: ModelContract) -> int:
    """The largest picture to give the model in one request; 0: any."""
    by_memory = REQUEST_BYTES // contract.bytes_per_pixel if contract.bytes_per_pixel else 0
    return min(filter(None, (contract.max_pixels, by_memory)), default=0)


def plan_tiles(contract: ModelContract, size: FrameSize, limit: int) -> Tiling:
    """The tiling of pictures of `size`, a multiple of what the model takes, that computes fewest pixels.

    Raises StepError (MODEL_TOO_LARGE) when tiles of `limit` pixels leave nothing to keep.
    """
    overlap = _CAREFUL if contract.overlap is None else contract.overlap
    multiple = contract.size_multiple
    heights = _lengths(size.height, overlap, multiple)
    widths = _lengths(size.width, overlap, multiple)
    fitting = [
        (rows * columns * high * wide, abs(high - wide), high, wide)
        for rows, high in heights
        for columns, wide in widths
        if high * wide <= limit
    ]
    if not fitting:
        raise StepError(
            f"model {contract.name} takes {limit} pixels at a time: too few for tiles of {size.width}x{size.height}"
            f" that overlap by {overlap}",
            code=ErrorCode.MODEL_TOO_LARGE,
        )
    *_, high, wide = min(fitting)
    rows = _spans(size.height, high, overlap, multiple)
    columns = _spans(size.width, wide, overlap, multiple)
    tile = FrameSize(height=high, width=wide)
    return Tiling(tile=tile, tiles=tuple((row, column) for row in rows for column in columns))


@functools.lru_cache(maxsize=64)
def _lengths(length: int, overlap: int, multiple: int) -> Sequence[tuple[int, int]]:
    """Number and length of tiles along an axis, for every number of them that makes sense."""
    found = []
    for count in range(1, _MOST_CUTS + 1):
        tile = _round_up(-(-(length + 2 * overlap * (count - 1)) // count), multiple)
        while tile < length and not _reaches(length, tile, count, overlap, multiple):
            tile += multiple
        if count == 1 or (tile < length and _stride(tile, overlap, multiple) > 0):
            found.append((count, min(tile, length)))
    return found


def _reaches(length: int, tile: int, count: int, overlap: int, multiple: int) -> bool:
    stride = _stride(tile, overlap, multiple)
    return stride > 0 and tile + (count - 1) * stride >= length


def _stride(tile: int, overlap: int, multiple: int) -> int:
    """Most pixels from one tile to the next."""
    return (tile - 2 * overlap) // multiple * multiple


def _spans(length: int, tile: int, overlap: int, multiple: int) -> list[Span]:
    starts = list(_starts(length, tile, overlap, multiple))
    middles = [(later + earlier + tile) // 2 for earlier, later in itertools.pairwise(starts)]
    edges = [0, *middles, length]
    return [
        Span(start=start, keep_from=edges[number], keep_to=edges[number + 1]) for number, start in enumerate(starts)
    ]


def _starts(length: int, tile: int, overlap: int, multiple: int) -> Iterator[int]:
    start, stride = 0, _stride(tile, overlap, multiple)
    while start + tile < length:
        yield start
        start += stride
    yield length - tile


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
