"""Scenes drawn by code: what clips of people and landscapes do not hold, and what a network must not spoil.

Each kind is a function of a random generator and a size that gives `[time, height, width, 3]` frames. Those that
networks are validated on are drawn elsewhere, in another manner: held_out.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from exporters.declaration import Frames

Scene = Callable[[np.random.Generator, int, int], Frames]
"""Generator, side in pixels, length in frames."""
_WORDS = (
    *("the", "frame", "of", "a", "film", "holds", "many", "lines", "0123456789", "{}[]()<>=+-*/"),
    *("def", "return", "import", "class", "Il1|", "O0", "@#%&"),
)
_OVERSAMPLING = 3


def green_screen(rng: np.random.Generator, side: int, length: int) -> Frames:
    """A flat screen, exactly or nearly so, with or without something that moves in front of it."""
    screen = np.zeros((side, side, 3), np.float32)
    screen[:] = _screen_colour(rng)
    if rng.random() < 0.5:
        slope = rng.uniform(-12, 12, 2) / side
        rows, columns = np.mgrid[:side, :side]
        screen += (slope[0] * rows + slope[1] * columns)[..., None]
    grain = float(rng.choice([0, 0, 0, 0.7, 1.5]))
    mover = _blob(rng, side) if rng.random() < 0.5 else None
    frames = [_behind(screen, mover, number) for number in range(length)]
    return _levels([frame + _grain(rng, frame, grain) for frame in frames])


def screen_recording(rng: np.random.Generator, side: int, length: int) -> Frames:
    """Windows with text in them; it scrolls, a pointer moves, or nothing does."""
    page = _page(rng, side, side + 4 * length)
    scroll = int(rng.choice([0, 0, 1, 2, 4]))
    pointer, step = rng.integers(0, side, 2), rng.integers(-6, 7, 2)
    frames = []
    for number in range(length):
        frame = page[number * scroll : number * scroll + side].copy()
        top, left = (pointer + number * step) % side
        frame[top : top + 12, left : left + 7] = 255 if frame.mean() < 128 else 0
        frames.append(frame)
    return np.stack(frames)


def animation(rng: np.random.Generator, side: int, length: int) -> Frames:
    """Flat shapes with outlines that move, turn and grow, over a flat or shaded background."""
    shapes = [_Shape(rng, side) for _ in range(int(rng.integers(3, 9)))]
    background = tuple(int(value) for value in rng.integers(0, 256, 3))
    return np.stack([_drawn(shapes, background, side, number) for number in range(length)])


def dead_leaves(rng: np.random.Generator, side: int, length: int) -> Frames:
    """Textured discs and boxes over each other, panned: it has the statistics of natural pictures at every size."""
    margin = 4 * length
    world = _leaves(rng, side + 2 * margin)
    speed = rng.uniform(-3, 3, 2) * (rng.random() < 0.8)
    frames = [_shifted(world, margin + speed * number, side) for number in range(length)]
    return _levels(frames)


def texture(rng: np.random.Generator, side: int, length: int) -> Frames:
    """Noise with a natural spectrum, in two layers that slide over each other."""
    margin = 3 * length
    near, far = (_spectrum(rng, side + 2 * margin, rng.uniform(0.8, 1.6)) for _ in range(2))
    speeds = rng.uniform(-2.5, 2.5, (2, 2))
    veil = _spectrum(rng, side, 2.5)[..., :1] > 128
    frames = []
    for number in range(length):
        front, back = (margin + speed * number for speed in speeds)
        frames.append(np.where(veil, _shifted(near, front, side), _shifted(far, back, side)))
    return _levels(frames)


SCENES: dict[str, tuple[Scene, float]] = {
    "green_screen": (green_screen, 0.2),
    "screen_recording": (screen_recording, 0.25),
    "animation": (animation, 0.25),
    "dead_leaves": (dead_leaves, 0.2),
    "texture": (texture, 0.1),
}
"""Kinds, and how often each is drawn."""


def draw(rng: np.random.Generator, side: int, length: int) -> Frames:
    """A scene of some kind."""
    kinds = list(SCENES.values())
    chosen = rng.choice(len(kinds), p=[weight for _, weight in kinds])
    return kinds[chosen][0](rng, side, length)


class _Shape:
    """An outlined polygon or ellipse on its way."""

    def __init__(self, rng: np.random.Generator, side: int) -> None:
        self._centre = rng.uniform(0, side, 2)
        self._speed = rng.uniform(-3, 3, 2) * (rng.random() < 0.8)
        self._turn = rng.uniform(-0.06, 0.06)
        self._growth = rng.uniform(0.99, 1.012)
        corners = int(rng.integers(3, 9))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners)) if rng.random() < 0.6 else np.linspace(0, 6.28, 40)
        radius = rng.uniform(0.06, 0.4) * side
        self._angles, self._radii = angles, radius * (rng.uniform(0.6, 1.3, len(angles)) if corners > 5 else 1)
        self._fill = tuple(int(value) for value in rng.integers(0, 256, 3))
        dark = rng.integers(0, 60, 3) if rng.random() < 0.8 else rng.integers(0, 256, 3)
        self._line = tuple(int(value) for value in dark)
        self._width = float(rng.choice([0, 1, 1.5, 2, 3, 4]))

    def draw(self, canvas: ImageDraw.ImageDraw, number: int) -> None:
        centre = self._centre + number * self._speed
        angles = self._angles + number * self._turn
        radii = self._radii * self._growth**number
        points = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * np.reshape(radii, (-1, 1))
        corners = [(float(x), float(y)) for x, y in points * _OVERSAMPLING]
        canvas.polygon(corners, fill=self._fill)
        if self._width:
            width = round(self._width * _OVERSAMPLING)
            canvas.line([*corners, corners[0]], fill=self._line, width=width, joint="curve")


def _drawn(shapes: list[_Shape], background: tuple[int, ...], side: int, number: int) -> NDArray[np.uint8]:
    large = Image.new("RGB", (side * _OVERSAMPLING,) * 2, background)
    canvas = ImageDraw.Draw(large)
    for shape in shapes:
        shape.draw(canvas, number)
    return np.asarray(large.reduce(_OVERSAMPLING))


def _screen_colour(rng: np.random.Generator) -> NDArray[np.float32]:
    if rng.random() < 0.6:
        return np.array([rng.integers(0, 90), rng.integers(140, 256), rng.integers(0, 110)], np.float32)
    return rng.integers(0, 256, 3).astype(np.float32)


def _blob(rng: np.random.Generator, side: int) -> tuple[_Shape, ...]:
    return tuple(_Shape(rng, side) for _ in range(int(rng.integers(1, 4))))


def _behind(screen: NDArray[np.float32], mover: tuple[_Shape, ...] | None, number: int) -> NDArray[np.float32]:
    if mover is None:
        return screen
    levels = screen.clip(0, 255).astype(np.uint8)
    inside = Image.fromarray(levels.repeat(_OVERSAMPLING, 0).repeat(_OVERSAMPLING, 1))
    canvas = ImageDraw.Draw(inside)
    for shape in mover:
        shape.draw(canvas, number)
    return np.asarray(inside.reduce(_OVERSAMPLING)).astype(np.float32)


def _grain(rng: np.random.Generator, frame: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return sigma * rng.standard_normal(frame.shape, np.float32) if sigma else np.zeros_like(frame)


def _page(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    dark = rng.random() < 0.4
    paper, ink = (int(rng.integers(10, 50)), 225) if dark else (int(rng.integers(235, 256)), int(rng.integers(0, 70)))
    page = Image.new("RGB", (width, height), (paper,) * 3)
    canvas = ImageDraw.Draw(page)
    for _ in range(int(rng.integers(1, 5))):
        _window(rng, canvas, width, height, ink)
    _text(rng, canvas, width, height, ink)
    return np.asarray(page)


def _window(rng: np.random.Generator, canvas: ImageDraw.ImageDraw, width: int, height: int, ink: int) -> None:
    left, top = int(rng.integers(-20, width)), int(rng.integers(-20, height))
    right, bottom = left + int(rng.integers(20, width)), top + int(rng.integers(14, 120))
    shade = tuple(int(value) for value in rng.integers(0, 256, 3)) if rng.random() < 0.6 else (255 - ink,) * 3
    canvas.rectangle((left, top, right, bottom), fill=shade, outline=(ink,) * 3, width=1)
    for line in range(top + 4, bottom, int(rng.integers(6, 24))):
        canvas.line((left, line, right, line), fill=(ink,) * 3, width=1)


def _text(rng: np.random.Generator, canvas: ImageDraw.ImageDraw, width: int, height: int, ink: int) -> None:
    size = int(rng.integers(9, 22))
    font = ImageFont.load_default(size)
    row = int(rng.integers(0, size))
    while row < height:
        line = " ".join(rng.choice(_WORDS, int(rng.integers(2, 9))))
        colour = tuple(int(value) for value in rng.integers(0, 256, 3)) if rng.random() < 0.25 else (ink,) * 3
        canvas.text((int(rng.integers(-30, 40)), row), line, fill=colour, font=font)
        row += round(size * 1.4)


def _leaves(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    world = np.repeat(rng.uniform(0, 255, 3).astype(np.float32)[None, None], side, 0).repeat(side, 1)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    grain = _spectrum(rng, side, 1.0) - 128
    vividness = rng.uniform(0.15, 1)
    for _ in range(120):
        radius = float(np.clip(4 * rng.pareto(1.4) + 3, 3, side / 3))
        y, x = rng.uniform(0, side, 2)
        inside = _disc_or_box(rng, rows - y, columns - x, radius)[..., None]
        colour = rng.uniform(0, 255, 3).astype(np.float32) + grain * float(rng.choice([0, 0.2, 0.6]))
        world += inside * (colour - world)
    grey = world.mean(-1, keepdims=True)
    muted: NDArray[np.float32] = grey + np.float32(vividness) * (world - grey)
    return muted


def _disc_or_box(
    rng: np.random.Generator, rows: NDArray[np.float32], columns: NDArray[np.float32], radius: float
) -> NDArray[np.float32]:
    """Coverage of each pixel, 0 to 1, with an edge one pixel wide, sometimes out of focus."""
    angle = rng.uniform(0, np.pi)
    along, across = np.cos(angle) * rows + np.sin(angle) * columns, np.cos(angle) * columns - np.sin(angle) * rows
    across = across * rng.uniform(1, 4)
    distance = np.hypot(along, across) if rng.random() < 0.5 else np.maximum(np.abs(along), np.abs(across))
    softness = float(rng.choice([1, 1, 1, 2, 5]))
    covered: NDArray[np.float32] = ((radius - distance) / softness + 0.5).clip(0, 1).astype(np.float32)
    return covered


def _spectrum(rng: np.random.Generator, side: int, exponent: float) -> NDArray[np.float32]:
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1
    layers = [
        np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) / frequency**exponent, (side, side))
        for _ in range(2)
    ]
    common, own = (layer / layer.std() for layer in layers)
    mixture = [common + weight * own for weight in rng.uniform(-0.4, 0.4, 3)]
    return (128 + rng.uniform(20, 60) * np.stack(mixture, -1)).astype(np.float32)


def _shifted(world: NDArray[np.float32], at: NDArray[np.float64], side: int) -> NDArray[np.float32]:
    """The square at a place between pixels, by linear interpolation."""
    (top, left), (down, right) = np.floor(at).astype(int), at - np.floor(at)
    square = world[top : top + side + 1, left : left + side + 1]
    lines = square[:-1] * (1 - down) + square[1:] * down
    shifted: NDArray[np.float32] = (lines[:, :-1] * (1 - right) + lines[:, 1:] * right).astype(np.float32)
    return shifted


def _levels(frames: list[NDArray[np.float32]]) -> Frames:
    return np.stack(frames).round().clip(0, 255).astype(np.uint8)
