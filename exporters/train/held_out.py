"""Scenes for validation: the kinds that are trained on, drawn in another manner, with none of that code.

Shapes are computed pixel by pixel instead of as polygons, letters are a bitmap font instead of outlines, and
everything moves differently.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from exporters.declaration import Frames

Plane = NDArray[np.float32]
_GREEN = np.array([4, 244, 4], np.float32)
_SKIN = np.array([224, 172, 140], np.float32)
_SHIRT = np.array([40, 60, 130], np.float32)
_LINES = (
    "$ framewire submit holiday.mp4 --step enhance:scale=2",
    "  queued   01J9Z8Q4T7   lane=cpu  priority=5",
    "  frame 1280x720  24.98 fps   [########......] 57%",
    "for (int i = 0; i < n; ++i) sum += a[i] * b[i];",
    "ERROR 404: <html><body>not found</body></html>",
    "The quick brown fox jumps over the lazy dog. 0123456789",
)


def flat_green(height: int, width: int, length: int, seed: int = 11) -> Frames:
    """One green, everywhere, always."""
    del seed
    return np.broadcast_to(_GREEN.astype(np.uint8), (length, height, width, 3)).copy()


def green_screen(height: int, width: int, length: int, seed: int = 12) -> Frames:
    """Somebody before an unevenly lit green screen."""
    y, x = _grid(height, width)
    light = 1 - np.float32(0.18) * ((x - np.float32(0.4)) ** 2 + (y - np.float32(0.3)) ** 2)
    rng = np.random.default_rng(seed)
    grain = rng.standard_normal((height, width, 1)).astype(np.float32)
    frames = []
    for number in range(length):
        sway = 0.02 * np.sin(number / 5)
        body = _ellipse(y, x, 1.05, 0.5 + sway, 0.5, 0.24)
        head = _ellipse(y, x, 0.38, 0.5 + 1.6 * sway, 0.17, 0.1)
        frame: Plane = _GREEN * light[..., None]
        frame = _over(frame, body, _SHIRT + 18 * np.sin(90 * x[..., None] - np.float32(9 * sway)))
        frame = _over(frame, head, _SKIN * (0.8 + 0.3 * x[..., None]))
        frames.append(frame + 0.3 * grain)
    return _levels(frames)


def screen_recording(height: int, width: int, length: int, seed: int = 13) -> Frames:
    """A terminal, a chart and a window that is dragged."""
    rng = np.random.default_rng(seed)
    desk = Image.new("RGB", (width, height), (236, 239, 241))
    _terminal(desk, rng)
    _chart(desk, rng)
    frames = []
    for number in range(length):
        picture = desk.copy()
        _dragged(picture, 40 + 3 * number, height // 3 + number)
        frames.append(np.asarray(picture))
    return np.stack(frames)


def animation(height: int, width: int, length: int, seed: int = 14) -> Frames:
    """A drawn landscape with a ball that bounces and clouds that pass, everything outlined."""
    del seed
    y, x = _grid(height, width)
    one = 1 / height
    frames = []
    for number in range(length):
        frame = _mix(np.array([250, 214, 165]), np.array([84, 140, 212]), y)
        for at, size in ((0.2, 0.09), (0.55, 0.13), (1.1, 0.07)):
            cloud = _distance(y, x, 0.2 + size / 2, at + 0.004 * number, size * 0.5, size)
            frame = _outlined(frame, cloud, (255, 250, 245), one)
        hills = 0.72 + 0.07 * np.sin(4 * x) + 0.03 * np.sin(11 * x + 1) - y
        frame = _outlined(frame, hills.astype(np.float32), (92, 158, 66), 1.5 * one)
        bounce = abs(np.cos(number / 7))
        ball = _distance(y, x, 0.82 - 0.4 * bounce, 0.3 + 0.012 * number, 0.1, 0.1)
        frame = _outlined(frame, ball, (214, 45, 62), 2 * one)
        gleam = _distance(y, x, 0.78 - 0.4 * bounce, 0.27 + 0.012 * number, 0.02, 0.03)
        frames.append(_outlined(frame, gleam, (255, 220, 220), 0.0))
    return _levels(frames)


SCENES: dict[str, Callable[[int, int, int], Frames]] = {
    "flat green": flat_green,
    "green screen": green_screen,
    "screen recording": screen_recording,
    "animation": animation,
}
"""By name; each takes height, width and a number of frames."""


def _grid(height: int, width: int) -> tuple[Plane, Plane]:
    """Rows and columns of pixel centres, in picture heights."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return (y + 0.5) / height, (x + 0.5) / height


def _distance(y: Plane, x: Plane, down: float, across: float, tall: float, wide: float) -> Plane:
    """Below 0 outside an ellipse, above 0 inside, about in picture heights."""
    radius = np.hypot((y - down) / tall, (x - across) / wide)
    away: Plane = ((1 - radius) * min(tall, wide)).astype(np.float32)
    return away


def _ellipse(y: Plane, x: Plane, down: float, across: float, tall: float, wide: float) -> Plane:
    return (_distance(y, x, down, across, tall, wide) * len(y) + 0.5).clip(0, 1)


def _over(frame: Plane, coverage: Plane, colour: Plane) -> Plane:
    return frame + coverage[..., None] * (colour - frame)


def _outlined(frame: Plane, away: Plane, colour: tuple[int, int, int], line: float) -> Plane:
    height = len(frame)
    frame = _over(frame, ((away + line) * height + 0.5).clip(0, 1), np.array([24, 18, 30], np.float32))
    return _over(frame, ((away - line) * height + 0.5).clip(0, 1), np.array(colour, np.float32))


def _mix(low: NDArray[np.int64], high: NDArray[np.int64], part: Plane) -> Plane:
    mixed: Plane = (low * part[..., None] + high * (1 - part[..., None])).astype(np.float32)
    return mixed


def _terminal(desk: Image.Image, rng: np.random.Generator) -> None:
    canvas, font = ImageDraw.Draw(desk), ImageFont.load_default_imagefont()
    right, bottom = int(desk.width * 0.6), int(desk.height * 0.8)
    canvas.rectangle((12, 12, right, bottom), fill=(18, 22, 28))
    canvas.rectangle((12, 12, right, 28), fill=(70, 78, 88))
    for index, row in enumerate(range(34, bottom - 12, 13)):
        colour = tuple(int(value) for value in rng.integers(140, 255, 3))
        canvas.text((18, row), _LINES[index % len(_LINES)][: (right - 20) // 6], fill=colour, font=font)


def _chart(desk: Image.Image, rng: np.random.Generator) -> None:
    canvas = ImageDraw.Draw(desk)
    left, top, right, bottom = int(desk.width * 0.64), 20, desk.width - 12, int(desk.height * 0.5)
    canvas.rectangle((left, top, right, bottom), fill=(255, 255, 255), outline=(120, 120, 120))
    for row in range(top, bottom, 16):
        canvas.line((left, row, right, row), fill=(214, 218, 222))
    for colour in ((200, 40, 40), (30, 90, 200)):
        walk = np.cumsum(rng.normal(0, 6, (right - left) // 6)) + (top + bottom) / 2
        canvas.line([(left + 6 * i, float(np.clip(v, top, bottom))) for i, v in enumerate(walk)], fill=colour, width=1)
    for index in range((right - left) // 22):
        canvas.rectangle((left + 22 * index, int(desk.height * 0.55), left + 22 * index + 13, int(desk.height * 0.9)),
                         fill=tuple(int(value) for value in rng.integers(0, 255, 3)))  # fmt: skip


def _dragged(picture: Image.Image, left: int, top: int) -> None:
    canvas, font = ImageDraw.Draw(picture), ImageFont.load_default_imagefont()
    canvas.rectangle((left, top, left + 150, top + 74), fill=(250, 250, 250), outline=(40, 40, 40))
    canvas.rectangle((left, top, left + 150, top + 15), fill=(24, 110, 200))
    canvas.text((left + 6, top + 3), "Export settings", fill=(255, 255, 255), font=font)
    for row, word in enumerate(("[x] keep audio", "[ ] two passes", "quality: 16  OK")):
        canvas.text((left + 10, top + 22 + 15 * row), word, fill=(20, 20, 20), font=font)


def _levels(frames: list[Plane]) -> Frames:
    return np.stack(frames).round().clip(0, 255).astype(np.uint8)
