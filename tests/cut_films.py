"""Films to cut, and a second opinion on what came of it: a plain loop that shares no code with the cutter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from clips import Clip
from numpy.typing import NDArray

from framewire.edits.edit_list import EditList, Span

Ranges = Sequence[tuple[int, int]]
"""Of kept pictures, in the order of showing."""


def closed_gops(gop: int = 10, bframes: int = 2, **more: str) -> tuple[tuple[str, str], ...]:
    """Options of libx264: key frames every so many frames, nothing that depends on what is shown."""
    params = {"scenecut": "0", "open-gop": "0", "keyint": str(gop), "min-keyint": str(gop), "bframes": str(bframes)}
    params |= {"b-adapt": "0", "weightp": "0", "ref": "2"} | {
        name.replace("_", "-"): value for name, value in more.items()
    }
    joined = ":".join(f"{name}={value}" for name, value in params.items())
    return (("crf", "18"), ("preset", "veryfast"), ("x264-params", joined))


def hevc(gop: int = 10, bframes: int = 2, **more: str) -> tuple[tuple[str, str], ...]:
    """The same of libx265."""
    params = {"log-level": "error", "scenecut": "0", "open-gop": "0", "keyint": str(gop), "min-keyint": str(gop)}
    params |= {"bframes": str(bframes), "b-adapt": "0"} | {
        name.replace("_", "-"): value for name, value in more.items()
    }
    joined = ":".join(f"{name}={value}" for name, value in params.items())
    return (("crf", "18"), ("preset", "ultrafast"), ("x265-params", joined))


# 60 frames of 64x48 H.264 (High, a key frame every 10, two B-frames in a row) at 25 a second, stereo AAC, MP4
FILM = Clip(frames=60, options=closed_gops())


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's main video: when each picture is shown, in seconds, and its samples."""

    times: list[Fraction]
    pictures: list[NDArray[np.uint8]]
    keys: list[bool]


def decode(path: Path) -> Decoded:
    """Every picture that a player shows."""
    found = Decoded([], [], [])
    with av.open(str(path)) as film:
        for frame in film.decode(film.streams.video[0]):
            found.times.append(frame.pts * frame.time_base)
            found.pictures.append(frame.to_ndarray(format="yuv420p"))
            found.keys.append(bool(frame.key_frame))
    return found


def lengths(film: Decoded, last: Fraction) -> list[Fraction]:
    """How long each picture is shown."""
    return [*(behind - before for before, behind in pairwise(film.times)), last]


def edits_of(film: Decoded, ranges: Ranges, last: Fraction = Fraction(1, 25)) -> EditList:
    """What keeps exactly these pictures."""
    edges = [time - film.times[0] for time in film.times] + [film.times[-1] - film.times[0] + last]
    return EditList(Span(start=edges[first], end=edges[end]) for first, end in ranges)


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Decibels; 100 for equal pictures."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return 10 * np.log10(255**2 / error) if error else 100.0


def assert_cut(source: Path, target: Path, ranges: Ranges, *, copied: int, last: Fraction = Fraction(1, 25)) -> Decoded:
    """The target shows exactly these pictures of the source, each as long as there, `copied` of them bit for bit."""
    before, after = decode(source), decode(target)
    numbers = [number for first, end in ranges for number in range(first, end)]
    shown = lengths(before, last)
    assert len(after.pictures) == len(numbers)
    tick = Fraction(1, 1000) if target.suffix == ".mkv" else Fraction(0)
    expected = Fraction(0)
    for number, time in zip(numbers, after.times, strict=True):
        assert abs(time - expected) <= tick, f"picture {number} at {float(time):.4f} s, not {float(expected):.4f}"
        expected += shown[number]
    likeness = [psnr(before.pictures[number], picture) for number, picture in zip(numbers, after.pictures, strict=True)]
    assert min(likeness) >= 40, likeness
    assert sum(value == 100 for value in likeness) >= copied
    return after


def sound_offsets(
    source: Path, target: Path, edits: EditList, origin: Fraction = Fraction(0), track: int = 0
) -> list[Fraction]:
    """For every packet of sound of the target that begins in a kept part: how late it is. Packets are told by bytes."""
    where: dict[bytes, Fraction] = {}
    with av.open(str(source)) as film:
        for packet in film.demux(film.streams.audio[track]):
            if packet.size:
                where[bytes(packet)] = packet.pts * packet.time_base - origin
    with av.open(str(target)) as film:
        placed = [(packet.pts * packet.time_base, bytes(packet)) for packet in film.demux(audio=track) if packet.size]
    wanted = [(time, edits.result_time(where[data])) for time, data in placed]
    return [time - moment for time, moment in wanted if moment is not None]
