"""SMPTE timecode: hours, minutes, seconds and frames, with drop-frame counting where the rate has it."""

from __future__ import annotations

from fractions import Fraction

from framewire.edits.exports.source import nearest

_NTSC = Fraction(1000, 1001)
_MOST_RATE = 99


def is_drop_frame(rate: Fraction) -> bool:
    """29.97 and its multiples: numbers are left out so that timecode keeps pace with the clock. 23.976 has none."""
    return nearest(rate) % 30 == 0 and rate == nearest(rate) * _NTSC


def timecode(frame: int, rate: Fraction) -> str:
    """`00:01:00:00`, `00:01:00;02` for drop-frame. Frame 0 is `00:00:00:00`; a day later it starts anew.

    Raises ValueError for rates of more than 99 frames a second, which have no timecode.
    """
    base = nearest(rate)
    if not 1 <= base <= _MOST_RATE:
        raise ValueError(f"{float(rate):g} frames a second have no timecode")
    dropping = is_drop_frame(rate)
    number = (frame + _dropped(frame, base) if dropping else frame) % (base * 86400)
    seconds, frames = divmod(number, base)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{';' if dropping else ':'}{frames:02}"


def _dropped(frame: int, base: int) -> int:
    """Numbers left out before this frame: the first base / 15 of each minute, but not of every tenth."""
    per_minute = base // 15
    frames_of_ten, frames_of_one = base * 600 - per_minute * 9, base * 60 - per_minute
    tens, rest = divmod(frame, frames_of_ten)
    minutes = max(0, rest - per_minute) // frames_of_one
    return per_minute * (tens * 9 + minutes)
