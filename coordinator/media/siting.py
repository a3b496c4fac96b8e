"""Where the chroma samples of 4:2:0 lie between the luma samples.

A stream's pictures say it, PyAV does not pass it on, and swscale minds it: turned to RGB with one place and back with
another, colours move by a quarter of a pixel. So it is found out once, and set on every picture before it is converted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

LEFT = "left"
NUMBERS = {LEFT: 0, "center": 1, "topleft": 2, "top": 3, "bottomleft": 4, "bottom": 5}
"""How H.264 and HEVC number the places."""
_CENTRED = {"mjpeg", "mpeg1video"}  # of those that do not say, these have it in the centre, as JPEG does
_SIDE = 16


class Siting:
    """Says of pictures where their chroma lies. Costs nothing: the samples are not copied. For one thread."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._graph: Graph | None = None
        self._form: tuple[int, int, str] | None = None

    def set(self, frame: VideoFrame) -> VideoFrame:
        """The same picture with its chroma at this place."""
        form = (frame.width, frame.height, frame.format.name)
        if self._graph is None or self._form != form:
            self._graph, self._form = self._build(*form), form
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _build(self, width: int, height: int, pixel_format: str) -> Graph:
        graph = Graph()
        graph.threads = 1
        source = graph.add("buffer", f"video_size={width}x{height}:pix_fmt={pixel_format}:time_base=1/1")
        place = graph.add("setparams", f"chroma_location={self._place}")
        graph.link_nodes(source, place, graph.add("buffersink")).configure()
        return graph


def chroma_place(frame: VideoFrame, codec: str) -> str:
    """Where the chroma of this stream's pictures lies, as players take it that does not say."""
    small = VideoReformatter().reformat(
        frame,
        width=_SIDE,
        height=_SIDE,
        format="yuv420p",
        src_colorspace=1,  # whatever it is: there are some that are not converted at all
        dst_colorspace=1,
        interpolation=Interpolation.POINT,
        threads=1,
    )  # what is in it does not count, it is painted over: the cheapest way will do
    _paint(small)
    seen = _converted(small)
    if np.array_equal(seen, _converted(Siting("center").set(small))):  # what swscale takes for the centre when not told
        return "center" if codec in _CENTRED else LEFT
    return next((place for place in NUMBERS if np.array_equal(seen, _converted(Siting(place).set(small)))), LEFT)


def _paint(frame: VideoFrame) -> None:
    """Chroma that looks different from every place."""
    for number, plane in enumerate(frame.planes):
        samples = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width]
        y, x = np.mgrid[0 : plane.height, 0 : plane.width]
        samples[...] = 128 if number == 0 else 128 + 40 * np.sin(x * 1.3 + number) * np.cos(y * 0.9)


def _converted(frame: VideoFrame) -> NDArray[Any]:
    flags = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    rgb = VideoReformatter().reformat(
        frame, format="rgb24", src_colorspace=1, src_color_range=1, interpolation=flags, threads=1
    )
    return rgb.to_ndarray()
