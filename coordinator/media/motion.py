"""How much a film's picture changes from one frame to the next."""

from __future__ import annotations

import array
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from coordinator.media.errors import reading
from coordinator.media.levels import Levels
from coordinator.media.limits import Budget, MediaLimits
from coordinator.media.open import main_video, open_input
from coordinator.media.packets import packets

_TOLD = 32
"""Pictures between two calls of who wants to know how far it is."""
_WIDTH = 160
"""Pixels of the small picture that is compared: grain and noise are averaged away."""


def picture_changes(
    path: Path,
    hop: Fraction,
    *,
    limits: MediaLimits,
    check: Callable[[], None],
    passed: Callable[[int], None] = lambda _: None,
) -> Levels:
    """For each hop from the first picture on, the largest mean absolute change of luma, as a ratio of its range.

    `check` is called for every packet and may raise; `passed` now and then with how many pictures went by. Raises
    MediaError.
    """
    times, changes = array.array("d"), array.array("f")
    last: NDArray[np.int16] | None = None
    for seconds, small in _small_pictures(path, limits, check):
        if last is not None:
            times.append(seconds)
            changes.append(float(np.abs(small - last).mean()) / 255)
            if len(times) % _TOLD == 0:
                passed(len(times))
        last = small
    return _by_hop(np.frombuffer(times), np.frombuffer(changes, np.float32), float(hop))


def _by_hop(times: NDArray[np.float64], changes: NDArray[np.float32], hop: float) -> Levels:
    if not len(times):
        return np.zeros(0, np.float32)
    hops = np.floor(times / hop + 1e-6).astype(np.int64).clip(0)
    result = np.zeros(int(hops.max()) + 1, np.float32)
    np.maximum.at(result, hops, changes)
    return result


def _small_pictures(
    path: Path, limits: MediaLimits, check: Callable[[], None]
) -> Iterator[tuple[float, NDArray[np.int16]]]:
    with open_input(path, limits) as film, reading("decode the pictures"):
        video, budget = main_video(film, limits), Budget(limits)
        video.thread_type = "AUTO"
        first: float | None = None
        for frame in _frames(film, video, budget, check):
            seconds = float((frame.pts or 0) * (video.time_base or 0))  # the last frames do not know their time base
            first = seconds if first is None else first
            budget.picture(frame.width, frame.height, seconds - first)
            yield seconds - first, _small(frame)


def _frames(
    film: InputContainer, video: VideoStream, budget: Budget, check: Callable[[], None]
) -> Iterator[VideoFrame]:
    for packet in packets(film, [video.index]):
        check()
        budget.packet(packet.size)
        yield from _decode(video, packet)
    yield from _decode(video, None)


def _decode(video: VideoStream, packet: Packet[Stream] | None) -> Sequence[VideoFrame]:
    try:
        return video.codec_context.decode(packet)
    except (av.error.InvalidDataError, av.error.EOFError):
        return ()  # what is damaged does not move


def _small(frame: VideoFrame) -> NDArray[np.int16]:
    height = max(2, round(_WIDTH * frame.height / frame.width / 2) * 2)
    grey = frame.reformat(width=_WIDTH, height=height, format="gray8", interpolation=Interpolation.AREA)
    return grey.to_ndarray().astype(np.int16)
