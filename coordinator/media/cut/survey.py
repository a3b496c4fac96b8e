"""One look over a film's packets: where its groups of pictures begin, and when each picture is shown."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from coordinator.media.cut.avc import AvcConfiguration
from coordinator.media.cut.hevc import HevcConfiguration
from coordinator.media.cut.nal import Configuration, units
from coordinator.media.cut.obstacles import CannotCopy, Obstacle
from coordinator.media.errors import reading
from coordinator.media.limits import Budget, MediaLimits
from coordinator.media.open import main_video, open_input
from coordinator.media.packets import packets

_LENGTH_SIZES = (4, 2)
_CODECS: Mapping[str, Callable[[bytes], Configuration]] = {
    "h264": AvcConfiguration.parse,
    "hevc": HevcConfiguration.parse,
}
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Pictures from one key frame to the next, by their number in the order of the file, and in that of showing."""

    first: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Film:
    """A film's pictures. Those of a group are shown one behind the other, so both orders agree on where it lies."""

    time_base: Fraction
    configuration: Configuration
    pts: Numbers
    """In the order of the file."""
    shown: Numbers
    """The same in the order of showing."""
    place: Numbers
    """Number in the order of showing, by number in the order of the file."""
    disposable: NDArray[np.bool_]
    """No other picture needs this one; in the order of the file."""
    starts: Numbers
    """Where groups begin."""
    visible: tuple[int, int]
    """First picture that the film shows, and the one behind the last, in the order of showing."""
    last_duration: int
    """How long the last is shown."""

    @property
    def frames(self) -> int:
        """Packets of pictures."""
        return len(self.pts)

    def group(self, place: int) -> Group:
        """The group that a picture is of."""
        number = int(np.searchsorted(self.starts, place, side="right")) - 1
        last = number + 1 == len(self.starts)
        return Group(first=int(self.starts[number]), end=self.frames if last else int(self.starts[number + 1]))

    def end_of(self, place: int) -> int:
        """Pts at which a picture's time is over."""
        if place + 1 < self.frames:
            return int(self.shown[place + 1])
        return int(self.shown[place]) + self.last_duration


def survey_film(path: Path, limits: MediaLimits, check: Callable[[], None] = lambda: None) -> Film:
    """Read all packets of the main video. Raises CannotCopy, and MediaError for a file that cannot be read.

    `check` is called now and then and may raise.
    """
    with open_input(path, limits) as container, reading("look over the film"):
        video = main_video(container, limits)
        look = _Look(_configuration(video))
        budget = Budget(limits)
        for packet in packets(container, [video.index], on_break=_break):
            budget.packet(packet.size)
            look.add(packet)
            if packet.is_keyframe:
                check()
        rate = video.average_rate or video.guessed_rate
        base = video.time_base or Fraction(1, 90_000)
        return look.film(base, max(1, round(1 / (rate * base))) if rate else 1)


def _break(error: Exception) -> None:
    raise CannotCopy(Obstacle.DAMAGED, f"the file breaks off: {error}")


def _configuration(video: VideoStream) -> Configuration:
    parse = _CODECS.get(video.codec_context.codec.canonical_name)
    if parse is None:
        raise CannotCopy(Obstacle.CODEC)
    try:
        configuration = parse(video.codec_context.extradata or b"")
        parameters = configuration.parameters
    except ValueError as error:
        raise CannotCopy(Obstacle.FORM, str(error)) from error
    if configuration.length_size not in _LENGTH_SIZES:
        raise CannotCopy(Obstacle.FORM, "short lengths")
    if not all(one.progressive for one in parameters):
        raise CannotCopy(Obstacle.FIELDS)
    if not all(one.fits(parameters[0]) for one in parameters):
        raise CannotCopy(Obstacle.PARAMETERS)
    return configuration


class _Look:
    """Collects what packets say."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._known = configuration.sets
        self._size = configuration.length_size
        self._pts = array("q")
        self._last = (-1 << 63, 0)  # pts and duration of what is shown last
        self._starts = array("q")
        self._hidden = bytearray()
        self._disposable = bytearray()

    def add(self, packet: Packet[Stream]) -> None:
        if packet.pts is None:
            raise CannotCopy(Obstacle.TIME_STAMPS, "a packet has none")
        if not self._pts:
            self._check_layers(packet)
        picture = self._picture(packet)
        if self._configuration.is_start(picture):
            self._starts.append(len(self._pts))
        elif packet.is_keyframe:
            raise CannotCopy(Obstacle.OPEN_GOPS)
        self._disposable.append(not self._configuration.is_reference(picture))
        self._hidden.append(packet.is_discard)
        self._pts.append(packet.pts)
        self._last = max(self._last, (packet.pts, packet.duration or 0))

    def _check_layers(self, packet: Packet[Stream]) -> None:
        with contextlib.suppress(ValueError):  # whoever looks for the picture says so
            if any(self._configuration.is_layer(nal) for nal in units(memoryview(packet), self._size)):
                raise CannotCopy(Obstacle.LAYERS)

    def _picture(self, packet: Packet[Stream]) -> memoryview:
        """The packet's first slice. What comes before it is looked at, too."""
        try:
            for nal in units(memoryview(packet), self._size):
                if self._configuration.is_picture(nal):
                    return nal
                if self._configuration.is_set(nal) and bytes(nal) not in self._known:
                    raise CannotCopy(Obstacle.PARAMETERS)
        except ValueError as error:
            raise CannotCopy(Obstacle.FORM, str(error)) from error
        raise CannotCopy(Obstacle.DAMAGED, "a packet without a picture")

    def film(self, time_base: Fraction, step: int) -> Film:
        """Raises CannotCopy when it makes no sense."""
        pts, starts = np.frombuffer(self._pts, np.int64), np.frombuffer(self._starts, np.int64)
        if not len(starts) or starts[0]:
            raise CannotCopy(Obstacle.NO_KEY_FRAMES)
        order = np.argsort(pts, kind="stable")
        shown, place = pts[order], np.empty_like(order)
        place[order] = np.arange(len(order))
        if (np.diff(shown) <= 0).any():
            raise CannotCopy(Obstacle.TIME_STAMPS, "two pictures at one time")
        _check_groups(place, starts)
        return Film(
            time_base=time_base,
            configuration=self._configuration,
            pts=pts,
            shown=shown,
            place=place,
            disposable=np.frombuffer(bytes(self._disposable), np.bool_),
            starts=starts,
            visible=_visible(np.frombuffer(bytes(self._hidden), np.bool_)[order]),
            last_duration=self._last[1] or step,
        )


def _check_groups(place: Numbers, starts: Numbers) -> None:
    """No picture is shown among those of another group."""
    for first, end in pairwise([*starts.tolist(), len(place)]):
        inside = place[first:end]
        if int(inside.min()) != first or int(inside.max()) != end - 1:
            raise CannotCopy(Obstacle.TIME_STAMPS, "groups of pictures overlap")


def _visible(hidden: NDArray[np.bool_]) -> tuple[int, int]:
    seen = np.flatnonzero(~hidden)
    if not len(seen):
        raise CannotCopy(Obstacle.EDIT_LIST)
    first, end = int(seen[0]), int(seen[-1]) + 1
    if end - first != len(seen):
        raise CannotCopy(Obstacle.EDIT_LIST)
    return first, end
