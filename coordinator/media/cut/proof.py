"""The result read back: every copied packet is there unchanged, every kept picture is there once and in time."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from coordinator.media.cut.obstacles import CannotCopy, Obstacle
from coordinator.media.cut.pictures import Written
from coordinator.media.cut.plan import Plan
from coordinator.media.cut.survey import Film
from coordinator.media.cut.tracks import fingerprint
from coordinator.media.limits import MediaLimits
from coordinator.media.open import main_video, open_input
from coordinator.media.packets import packets


def prove(
    target: Path,
    film: Film,
    plan: Plan,
    written: Written,
    sound: Mapping[int, array[int]],
    limits: MediaLimits,
    check: Callable[[], None],
) -> None:
    """Raises CannotCopy (PROOF) when the file is not what was planned.

    `sound`: digests of each track, in order; empty when sound was encoded again.
    """
    with open_input(target, limits, known=True) as result:
        video = main_video(result, limits)
        tracks = [track.index for track in result.streams.audio]
        main = video.index
        found = {index: array("Q") for index in (main, *tracks)}
        pts = array("q")
        for packet in packets(result, list(found)):
            found[packet.stream_index].append(fingerprint(packet))
            if packet.stream_index == main:
                pts.append(packet.pts if packet.pts is not None else -1)
            if packet.is_keyframe and packet.stream_index == main:
                check()
        tick = float((video.time_base or film.time_base) / film.time_base)
    _expect(found.pop(main) == written.digests, "packets of pictures differ")
    _expect(not sound or list(found.values()) == list(sound.values()), "packets of sound differ")
    places = np.frombuffer(written.places, np.int64)
    planned = plan.pts[places]
    off = np.abs(np.frombuffer(pts, np.int64) * tick - planned).max()
    _expect(np.array_equal(np.sort(places), np.arange(plan.frames)), "a picture is missing or there twice")
    _expect(bool(off <= (tick / 2 if tick > 1 else 0)), f"a picture is {off} ticks off its time")
    _expect(bool((np.diff(plan.dts) > 0).all() and (np.diff(plan.pts) > 0).all()), "times do not grow")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CannotCopy(Obstacle.PROOF, otherwise)
