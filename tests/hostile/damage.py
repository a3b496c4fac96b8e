"""Ways a file is broken: by accident, and on purpose."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping

Damage = Callable[[bytearray, random.Random], None]

_EVIL = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEAD = 1 << 12


def cut(data: bytearray, dice: random.Random) -> None:
    """The end is missing."""
    del data[dice.randrange(len(data)) :]


def flip_anywhere(data: bytearray, dice: random.Random) -> None:
    """Some bits are wrong."""
    for _ in range(dice.choice((1, 4, 16, 64))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def flip_in_header(data: bytearray, dice: random.Random) -> None:
    """Some bytes at the beginning or the end, where indexes lie, are others."""
    for _ in range(dice.choice((1, 2, 8))):
        at = dice.randrange(min(_HEAD, len(data)))
        data[at if dice.random() < 0.5 else len(data) - 1 - at] = dice.randrange(256)


def evil_number(data: bytearray, dice: random.Random) -> None:
    """A number is what programmers forget: nothing, the largest, one more."""
    for _ in range(dice.choice((1, 3))):
        at = dice.randrange(max(1, min(_HEAD, len(data) - 4)))
        at = at if dice.random() < 0.6 else max(0, len(data) - 4 - at)
        data[at : at + 4] = struct.pack(dice.choice("<>") + "I", dice.choice(_EVIL))


def hole(data: bytearray, dice: random.Random) -> None:
    """A stretch was never written."""
    start = dice.randrange(len(data))
    size = min(dice.choice((16, 512, 8192)), len(data) - start)
    data[start : start + size] = bytes(size)


def repeat(data: bytearray, dice: random.Random) -> None:
    """A stretch is there twice."""
    start = dice.randrange(len(data))
    data[start:start] = data[start : start + dice.choice((8, 256, 4096))]


DAMAGES: Mapping[str, Damage] = {
    "cut": cut,
    "flip": flip_anywhere,
    "header": flip_in_header,
    "number": evil_number,
    "hole": hole,
    "repeat": repeat,
}


def damaged(clips: Mapping[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """The file of this number: its name says what it was and what happened to it. The same seed makes the same file."""
    dice = random.Random(f"{seed} {number}")
    kind = sorted(clips)[number % len(clips)]
    way = dice.choice(list(DAMAGES))
    data = bytearray(clips[kind])
    DAMAGES[way](data, dice)
    return f"{number:04} {way} {kind}", bytes(data)
