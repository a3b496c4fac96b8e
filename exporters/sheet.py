"""A picture to look at: a row a clip, before and after side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exporters.comparison import Compared
from exporters.declaration import Frames

_TILE = 320
_BAR = 22
_GAP = 4
_HEADINGS = ("input", "bicubic", "model", "truth")


def write_sheet(clips: Sequence[Compared], path: Path) -> None:
    """A PNG of what is most worth looking at in each clip: where bicubic is furthest from the truth.

    Four columns: the input with its pixels as squares, bicubic, the model, the truth; all at the same place.
    """
    width = len(_HEADINGS) * (_TILE + _GAP) - _GAP
    sheet = Image.new("RGB", (width, len(clips) * (_TILE + _BAR + _GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, clip in enumerate(clips):
        top = row * (_TILE + _BAR + _GAP)
        for column, (heading, tile) in enumerate(zip(_words(clip), _tiles(clip), strict=True)):
            left = column * (_TILE + _GAP)
            draw.text((left + 2, top + 5), heading, fill="black")
            sheet.paste(Image.fromarray(tile).resize((_TILE, _TILE), Image.Resampling.NEAREST), (left, top + _BAR))
    sheet.save(path, format="PNG")


def _words(clip: Compared) -> list[str]:
    numbers = {
        "input": clip.clip,
        "bicubic": f"{clip.before.psnr:.2f} dB, SSIM {clip.before.ssim:.4f}",
        "model": f"{clip.after.psnr:.2f} dB, SSIM {clip.after.ssim:.4f}",
        "truth": f"frame {len(clip.truth) // 2}",
    }
    return [f"{heading}: {numbers[heading]}" for heading in _HEADINGS]


def _tiles(clip: Compared) -> list[NDArray[np.uint8]]:
    """The same place of each, square."""
    number, scale = len(clip.truth) // 2, clip.truth.shape[1] // clip.degraded.shape[1]
    side = min(_TILE // 2, *clip.truth.shape[1:3]) // scale * scale
    top, left = _place(clip.truth[number], clip.bicubic[number], side, scale)
    large = [_cut(frames[number], top, left, side) for frames in (clip.bicubic, clip.enhanced, clip.truth)]
    return [_cut(clip.degraded[number], top // scale, left // scale, side // scale), *large]


def _cut(frame: NDArray[np.uint8], top: int, left: int, side: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(frame[top : top + side, left : left + side])


def _place(truth: Frames, bicubic: Frames, side: int, scale: int) -> tuple[int, int]:
    """Upper left corner of the square with the largest error, at a whole input pixel."""
    error = np.square(truth.astype(np.float32) - bicubic).sum(axis=2)
    sums = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(boxes[::scale, ::scale].argmax()), boxes[::scale, ::scale].shape)
    return int(top) * scale, int(left) * scale
