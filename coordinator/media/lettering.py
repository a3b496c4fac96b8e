"""Numbers in a picture: ten digits, a colon and a point, five by seven dots each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GLYPHS = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00010 00100 01000 11111",
    "3": "11111 00010 00100 00010 00001 10001 01110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    ":": "0 0 1 0 1 0 0",
    ".": "0 0 0 0 0 0 1",
}
HEIGHT = 7


def lettering(text: str, scale: int = 1) -> NDArray[np.bool_]:
    """The text's dots: 7 * `scale` high, True where there is ink. Raises KeyError for other letters."""
    gap = np.zeros((HEIGHT, 1), np.bool_)
    pieces = [piece for letter in text for piece in (_dots(letter), gap)]
    return np.concatenate(pieces[:-1], axis=1).repeat(scale, axis=0).repeat(scale, axis=1)


def _dots(letter: str) -> NDArray[np.bool_]:
    return np.array([[dot == "1" for dot in row] for row in _GLYPHS[letter].split()], np.bool_)
