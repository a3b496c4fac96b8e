"""Interlaced pictures made progressive: one for one, on the same time stamps."""

from __future__ import annotations

from fractions import Fraction

import av
from av.filter import Graph
from av.video.frame import VideoFrame

_FILTER = "bwdif"
_MODE = "mode=send_frame:parity=auto:deint=interlaced"  # a picture for a picture; progressive ones stay as they are


class Deinterlacer:
    """Takes a stream's pictures in order; until the first interlaced one comes it costs nothing.

    bwdif looks at the pictures before and after, so each comes out when the next has gone in. For one thread.
    """

    def __init__(self, time_base: Fraction) -> None:
        self.interlaced = 0
        """Pictures that were interlaced so far."""
        self._time_base = time_base
        self._graph: Graph | None = None
        self._form: tuple[int, int, str] | None = None

    def add(self, frame: VideoFrame) -> list[VideoFrame]:
        """The pictures that are complete with this one. Raises what libavfilter raises."""
        self.interlaced += frame.interlaced_frame
        if self._graph is None and not frame.interlaced_frame:
            return [frame]
        form = (frame.width, frame.height, frame.format.name)
        ready = self.flush() if self._form != form else []
        if self._graph is None:
            self._graph, self._form = self._build(frame), form
        self._graph.vpush(frame)
        return ready + self._pull(self._graph)

    def flush(self) -> list[VideoFrame]:
        """The pictures still under way: after the last one, and where the size changes."""
        if self._graph is None:
            return []
        self._graph.vpush(None)
        rest = self._pull(self._graph)
        self._graph = self._form = None
        return rest

    def _build(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        graph.threads = 1
        nodes = graph.add("buffer", self._arguments(frame)), graph.add(_FILTER, _MODE), graph.add("buffersink")
        graph.link_nodes(*nodes).configure()
        return graph

    def _arguments(self, frame: VideoFrame) -> str:
        base = self._time_base
        return (
            f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
            f":time_base={base.numerator}/{base.denominator}"
            f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
        )

    def _pull(self, graph: Graph) -> list[VideoFrame]:
        ready: list[VideoFrame] = []
        while True:
            try:
                frame = graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return ready
            ready.append(self._restamped(frame))

    def _restamped(self, frame: VideoFrame) -> VideoFrame:
        """The filter counts in half units, to have room for two pictures out of one."""
        unit = (frame.time_base or self._time_base) / self._time_base
        if frame.pts is not None:
            frame.pts = round(frame.pts * unit)
        frame.duration = round((frame.duration or 0) * unit)
        frame.time_base = self._time_base
        return frame
