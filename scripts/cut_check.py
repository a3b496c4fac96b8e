"""What became of a film's pictures in a cut one, looked at without any of our engine's code."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Packets and pictures of a result."""

    frames: int
    """Pictures that can be decoded."""
    wanted: int
    """Pictures that were to be kept."""
    identical: int
    """Packets of groups of pictures that no cut touches which are in the result, bit for bit and in order."""
    untouched: int
    """Packets of such groups in the film."""

    @property
    def share(self) -> float:
        """1.0 when every packet that could be copied was."""
        return self.identical / self.untouched if self.untouched else 1.0


def check(film: Path, result: Path, keep: Sequence[tuple[Fraction, Fraction]]) -> Kept:
    """Compare packets of the first video track. `keep`: the ranges, from the film's first picture."""
    packets = list(_packets(film))
    first = min(moment for moment, _, _ in packets)
    shown = [moment - first for moment, _, _ in packets]
    untouched = [digest for group in _groups(packets) if _whole(group, first, keep) for _, _, digest in group]
    identical = _in_order(untouched, [digest for _, _, digest in _packets(result)])
    wanted = sum(any(start <= moment < end for start, end in keep) for moment in shown)
    return Kept(frames=_frames(result), wanted=wanted, identical=identical, untouched=len(untouched))


_Packet = tuple[Fraction, bool, bytes]


def _packets(path: Path) -> Iterator[_Packet]:
    """When it is shown, whether it is a key frame, what is in it."""
    with av.open(str(path)) as film:
        video = film.streams.video[0]
        base = video.time_base or Fraction(1, 90_000)
        for packet in film.demux(video):
            if packet.pts is not None:
                yield packet.pts * base, packet.is_keyframe, hashlib.sha256(bytes(packet)).digest()


def _in_order(wanted: Sequence[bytes], there: Sequence[bytes]) -> int:
    """How many of `wanted` are found one behind the other; packets of a still picture may all be alike."""
    places: dict[bytes, list[int]] = {}
    for place, digest in enumerate(there):
        places.setdefault(digest, []).append(place)
    found, reached = 0, -1
    for digest in wanted:
        behind = places.get(digest, [])
        at = bisect.bisect_right(behind, reached)
        if at < len(behind):
            found, reached = found + 1, behind[at]
    return found


def _groups(packets: Sequence[_Packet]) -> Iterator[Sequence[_Packet]]:
    starts = [place for place, (_, key, _) in enumerate(packets) if key]
    for start, end in pairwise([*starts, len(packets)]):
        yield packets[start:end]


def _whole(group: Sequence[_Packet], first: Fraction, keep: Sequence[tuple[Fraction, Fraction]]) -> bool:
    shown = [moment - first for moment, _, _ in group]
    return any(start <= min(shown) and max(shown) < end for start, end in keep)


def _frames(path: Path) -> int:
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0))
