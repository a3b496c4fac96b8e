"""Clips made on the spot, small enough to make thousands of: every test says what it needs of one."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """One sound track."""

    codec: str = "aac"
    layout: str = "stereo"
    rate: int = 48_000
    language: str = "eng"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What a generated file is like. The defaults: a second of 64x48 H.264 with stereo AAC in MP4."""

    width: int = 64
    height: int = 48
    frames: int = 25
    rate: Fraction = Fraction(25)
    time_base: Fraction | None = None
    pts: Sequence[int] | None = None
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = (("crf", "10"), ("preset", "ultrafast"))
    sounds: tuple[Sound, ...] = (Sound(),)
    rotation: int = 0
    sample_aspect_ratio: Fraction | None = None
    colorspace: int | None = None
    color_range: int | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    chapters: int = 0
    container: str | None = None
    index_first: bool = False
    """MP4 only: the index before the pictures, so that the file opens when its end is missing."""


def moving_square(clip: Clip, number: int) -> Pixels:
    """A coloured gradient that differs from frame to frame, with a square that moves."""
    y, x = np.mgrid[0 : clip.height, 0 : clip.width]
    picture = np.stack(
        [(x * 255) // max(1, clip.width - 1), (y * 255) // max(1, clip.height - 1), (x + y + number * 5) % 256], axis=-1
    ).astype(np.uint8)
    left, top = (number * 3) % max(1, clip.width - 8), (number * 2) % max(1, clip.height - 8)
    picture[top : top + 8, left : left + 8] = (235, 60, 20 + number % 200)
    return picture


def make_clip(path: Path, clip: Clip = Clip(), picture: Callable[[Clip, int], Pixels] = moving_square) -> Path:
    """Write the clip."""
    options = {"movflags": "faststart"} if clip.index_first else {}
    with av.open(str(path), "w", format=clip.container, options=options) as output:
        output.metadata.update(dict(clip.metadata))
        if clip.chapters:
            output.set_chapters(_chapters(clip))
        video = _add_video(output, clip)
        sounds = [_add_sound(output, sound) for sound in clip.sounds]
        output.start_encoding()
        _write_sound(output, clip, sounds)
        for number in range(clip.frames):
            frame = av.VideoFrame.from_ndarray(picture(clip, number), format="rgb24")
            frame = frame.reformat(format=clip.pixel_format, **_colour(clip))
            frame.time_base = video.codec_context.time_base
            frame.pts = clip.pts[number] if clip.pts else number * _step(clip)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


def _step(clip: Clip) -> int:
    return round(1 / (clip.rate * (clip.time_base or 1 / clip.rate)))


def _duration(clip: Clip) -> Fraction:
    base = clip.time_base or 1 / clip.rate
    return base * (clip.pts[-1] + _step(clip) if clip.pts else clip.frames * _step(clip))


def _add_video(output: Any, clip: Clip) -> Any:
    video = output.add_stream(clip.codec, rate=clip.rate, options=dict(clip.options))
    video.width, video.height, video.pix_fmt = clip.width, clip.height, clip.pixel_format
    video.codec_context.time_base = clip.time_base or 1 / clip.rate
    if clip.sample_aspect_ratio:
        video.sample_aspect_ratio = clip.sample_aspect_ratio
    for name in ("colorspace", "color_range"):
        if getattr(clip, name) is not None:
            setattr(video.codec_context, name, getattr(clip, name))
    if clip.rotation:
        video.set_display_rotation(-clip.rotation)
    return video


def _add_sound(output: Any, sound: Sound) -> Any:
    stream = output.add_stream(sound.codec, rate=sound.rate)
    stream.codec_context.layout = sound.layout
    stream.metadata["language"] = sound.language
    return stream


def _write_sound(output: Any, clip: Clip, streams: list[Any]) -> None:
    """Noise, so that every packet differs from every other."""
    noise = np.random.default_rng(7)
    for stream in streams:
        context = stream.codec_context
        size, total = context.frame_size or 1024, int(_duration(clip) * context.sample_rate)
        planar = context.format.is_planar
        for start in range(0, total, size):
            count, channels = min(size, total - start), context.layout.nb_channels
            shape = (channels, count) if planar else (1, channels * count)
            data = _as_format(noise.normal(0, 0.1, shape), context.format.name)
            frame = av.AudioFrame.from_ndarray(data, format=context.format.name, layout=context.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = context.sample_rate, start, Fraction(1, context.sample_rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _as_format(samples: NDArray[np.float64], name: str) -> NDArray[Any]:
    match name.rstrip("p"):
        case "flt":
            return samples.astype(np.float32)
        case "u8":
            return (samples * 100 + 128).clip(0, 255).astype(np.uint8)
        case kind:
            return (samples * 20_000).astype(f"int{kind[1:]}")


def _colour(clip: Clip) -> dict[str, Any]:
    matrix = {1: 1, 5: 5, 6: 5, 9: 9}.get(clip.colorspace or 6, 5)
    return {"dst_colorspace": matrix, "dst_color_range": clip.color_range or 1, "interpolation": 2 | 0x40000}


def _chapters(clip: Clip) -> list[Any]:
    length = int(_duration(clip) * 1000) // clip.chapters
    return [
        {
            "id": number,
            "start": number * length,
            "end": (number + 1) * length,
            "time_base": Fraction(1, 1000),
            "metadata": {"title": f"chapter {number + 1}"},
        }
        for number in range(clip.chapters)
    ]


def truncate(path: Path, share: float) -> Path:
    """Cut the end of a file off."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@dataclass(frozen=True, slots=True)
class Contents:
    """What demuxing and decoding a file gives."""

    video_pts: list[Fraction]
    pictures: list[Pixels]
    audio: list[list[tuple[Fraction, bytes]]]
    display_matrix: tuple[int, ...] | None


def read_clip(path: Path, *, pictures: bool = True) -> Contents:
    """Everything in a file: time stamps in seconds, pictures as RGB, packets as bytes."""
    with av.open(str(path)) as container:
        audio: dict[int, list[tuple[Fraction, bytes]]] = {stream.index: [] for stream in container.streams.audio}
        pts: list[Fraction] = []
        images: list[Pixels] = []
        matrix = None
        for packet in container.demux(container.streams.video[0], *container.streams.audio):
            if packet.stream.type == "audio":
                if packet.size:
                    audio[packet.stream.index].append((packet.pts * packet.time_base, bytes(packet)))
                continue
            for frame in packet.decode():
                pts.append(frame.pts * packet.stream.time_base)
                side = frame.side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
                matrix = struct.unpack("=9i", bytes(side)) if side else matrix
                if pictures:
                    images.append(frame.to_ndarray(format="rgb24"))
        return Contents(pts, images, list(audio.values()), matrix)
