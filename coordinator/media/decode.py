"""One pass over an input: pictures to process and packets to copy, in the order of the file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import av
import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from coordinator.media.colour import Converter
from coordinator.media.deinterlace import Deinterlacer
from coordinator.media.depth import Detail
from coordinator.media.errors import reading
from coordinator.media.limits import Budget, MediaLimits
from coordinator.media.open import copied_tracks, main_video, open_input
from coordinator.media.packets import packets
from coordinator.media.probe import VideoFacts
from coordinator.media.timeline import Stamp, Timeline
from coordinator.media.truncation import is_cut_short
from framewire.errors import MediaError

if TYPE_CHECKING:
    from av.container.core import Chapter  # PyAV has it in its stubs only

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class CopiedPacket:
    """A packet that goes to the result bit for bit."""

    track: int
    """Index of its stream in the input."""
    packet: Packet[Stream]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded frame and when it is shown."""

    stamp: Stamp
    frame: VideoFrame
    _converter: Converter
    as_described: bool = True
    """It has the colours that the stream's first picture has."""

    def write_rgb(self, slot: NDArray[np.uint8], width: int, height: int) -> Detail | None:
        """Put the picture, as `width` x `height` RGB, into the top left of `slot` and repeat its edge over the rest.

        `slot` is `[rows, columns, 3]` with at least that size. Returns what 8 bits could not hold of a deeper
        picture of exactly this size, for `Converter.to_yuv`'s result; None for one of 8 bits. Raises MediaError.
        """
        with reading("convert a picture"):
            rgb = self._converter.to_rgb(self.frame, width, height)
            plane = rgb.planes[0]
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
            slot[:height, :width] = rows[:, : width * 3].reshape(height, width, 3)
        if slot.shape[1] > width:
            slot[:height, width:] = slot[:height, width - 1 : width]
        if slot.shape[0] > height:
            slot[height:] = slot[height - 1 : height]
        return self._detail(rgb) if self._is_deep and (self.frame.width, self.frame.height) == (width, height) else None

    @property
    def _is_deep(self) -> bool:
        form = self.frame.format
        return not form.is_rgb and form.components[0].bits > 8

    def _detail(self, rgb: VideoFrame) -> Detail:
        with reading("convert a picture"):
            return self._converter.detail(self.frame, rgb)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the result takes over from the input, besides pictures and packets."""

    metadata: dict[str, str]
    chapters: Sequence[Chapter]
    video_metadata: dict[str, str]
    tracks: Sequence[Stream]
    video_disposition: int = 0
    """What the video is marked as, an `av.stream.Disposition`."""


class Reader:
    """An open input. Use as a context manager; iterate once. For one thread.

    A damaged packet is skipped and counted, as players do; a file that breaks off ends there.
    """

    def __init__(
        self, path: Path, facts: VideoFacts, limits: MediaLimits, *, threads: int = 1, deinterlace: bool = True
    ) -> None:
        """`deinterlace`: make interlaced pictures progressive; without it they come as they are in the file."""
        self.damaged = 0
        """Packets that could not be decoded."""
        self.broken_off = False
        """Whether the file ended in the middle."""
        self.hidden = 0
        """Pictures that the file's edit list does not show; they are decoded and left out."""
        self.resized = 0
        """Pictures of another size than the first."""
        self.recoloured = 0
        """Pictures whose colours are described otherwise than the first's."""
        self.timeline = Timeline(facts.time_base, facts.rate, by_decoding=facts.by_decoding)
        self._path, self._facts = path, facts
        self._converters = {facts.colour: Converter(facts.colour)}
        self._deinterlacer = Deinterlacer(facts.time_base) if deinterlace else None
        self._budget = Budget(limits)
        self._first_pts, self._time_base = facts.first_pts, facts.time_base
        self._container = open_input(path, limits)
        self._video = main_video(self._container, limits)
        self._video.codec_context.thread_count = threads
        self._copied = copied_tracks(self._container)

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._container.close()

    def seek(self, pts: int) -> None:
        """Begin at the last keyframe at or before `pts` that the file's index knows. Before iterating."""
        with reading("find a place in the file"):
            self._container.seek(pts, stream=self._video, backward=True)

    @property
    def source(self) -> Source:
        """What the writer takes over; valid until the reader is closed."""
        return Source(
            metadata=dict(self._container.metadata),
            chapters=self._container.chapters(),
            video_metadata=dict(self._video.metadata),
            tracks=self._copied,
        )

    def __iter__(self) -> Iterator[Picture | CopiedPacket]:
        """Everything in the file. Raises MediaError when nothing in it can be decoded."""
        pictures = 0
        for packet in self._packets():
            if packet.stream.index != self._video.index:
                yield CopiedPacket(packet.stream.index, packet)
                continue
            self.hidden += packet.is_discard
            for frame in self._progressive(self._decode(packet)):
                pictures += 1
                yield self._picture(frame)
        for frame in self._last():
            pictures += 1
            yield self._picture(frame)
        if not self._facts.by_decoding and is_cut_short(self._path):  # of an AVI the size that it says is often wrong
            self.broken_off = True  # some containers just end
        if pictures == 0:
            raise MediaError("no picture of the video track could be decoded; export the file again")

    @property
    def deinterlaced(self) -> int:
        """Pictures that were interlaced and have been made progressive."""
        return self._deinterlacer.interlaced if self._deinterlacer else 0

    def _packets(self) -> Iterator[Packet[Stream]]:
        tracks = [self._video.index, *(track.index for track in self._copied)]
        for packet in packets(self._container, tracks, on_break=self._break_off):
            self._budget.packet(packet.size)
            yield packet

    def _break_off(self, error: av.FFmpegError) -> None:
        log.warning("the file ends in the middle: %s", error)
        self.broken_off = True

    def _decode(self, packet: Packet[Stream] | None) -> list[VideoFrame]:
        with reading("decode the video"):
            try:
                return [self._timed(frame) for frame in self._video.codec_context.decode(packet)]
            except (av.error.InvalidDataError, av.error.EOFError, av.error.BlockingIOError) as error:
                log.debug("a damaged packet is skipped: %s", error)
                self.damaged += 1
                return []

    def _timed(self, frame: VideoFrame) -> VideoFrame:
        """With the time that can be relied on; what a deinterlacer keeps of it is the pts."""
        frame.pts = self.timeline.told(frame.pts, frame.dts)
        return frame

    def _progressive(self, frames: Sequence[VideoFrame]) -> Sequence[VideoFrame]:
        if self._deinterlacer is None:
            return frames
        with reading("deinterlace the video"):
            return [ready for frame in frames for ready in self._deinterlacer.add(frame)]

    def _last(self) -> Iterator[VideoFrame]:
        """What the decoder and the deinterlacer still hold at the end of the file."""
        yield from self._progressive(self._decode(None))
        if self._deinterlacer is not None:
            with reading("deinterlace the video"):
                rest = self._deinterlacer.flush()
            yield from rest

    def _picture(self, frame: VideoFrame) -> Picture:
        stamp = self._stamp(frame)
        self._budget.picture(frame.width, frame.height, float((stamp.pts - self._first_pts) * self._time_base))
        colour = self._facts.colour.of_another(frame)
        usual = colour == self._facts.colour
        self.resized += (frame.width, frame.height) != (self._facts.width, self._facts.height)
        self.recoloured += not usual
        converter = self._converters.get(colour) or self._converters.setdefault(colour, Converter(colour))
        return Picture(stamp, frame, converter, as_described=usual)

    def _stamp(self, frame: VideoFrame) -> Stamp:
        return self.timeline.stamp(frame.pts, frame.duration or 0)
