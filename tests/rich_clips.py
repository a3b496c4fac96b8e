"""Clips with everything that can lie beside a picture: covers, subtitles, attached files, timecode, a second video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from clips import Clip, make_clip

FONT = b"\x00\x01\x00\x00" + bytes(range(200))
PLAIN = Clip()
MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A track of subtitles, given as packets: start and length in milliseconds, and what they hold."""

    codec: str = "subrip"
    lines: tuple[tuple[int, int, bytes], ...] = ((0, 300, b"Hello"), (400, 300, b"<i>two</i>\nlines"))
    language: str = "deu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What is added to a clip."""

    texts: tuple[Text, ...] = ()
    cover: bool = False
    font: bool = False
    second_video: bool = False
    timecode: str = ""


def make_rich_clip(path: Path, extras: Extras, clip: Clip = PLAIN) -> Path:
    """`clip` remuxed with the extras: one second of 64x48 H.264 with stereo AAC."""
    plain = make_clip(path.with_name(f"{path.stem}.plain.mkv"), clip)
    with av.open(str(plain)) as source, av.open(str(path), "w") as output:
        output.metadata.update(source.metadata)
        if source.chapters():
            output.set_chapters(source.chapters())
        streams = {stream.index: _copy_of(stream, output) for stream in source.streams}
        if extras.timecode:
            streams[0].metadata["timecode"] = extras.timecode
        more = [*_texts(output, extras), *_second_video(output, extras), *_cover(output, extras, path)]
        if extras.font:
            output.add_attachment("font.ttf", "font/ttf", FONT)
        packets = [packet for packet in source.demux() if packet.size]
        for packet in packets:
            packet.stream = streams[packet.stream_index]
        for packet in [*more, *packets]:
            output.mux(packet)
    plain.unlink()
    return path


def _copy_of(stream: Any, output: Any) -> Any:
    copy = output.add_stream_from_template(stream, opaque=True)
    copy.metadata.update(stream.metadata)
    copy.disposition = stream.disposition
    return copy


def _texts(output: Any, extras: Extras) -> list[Any]:
    packets = []
    for text in extras.texts:
        stream = output.add_mux_stream(text.codec)
        stream.time_base, stream.metadata["language"] = MILLISECOND, text.language
        packets += [_packet(stream, data, start, length) for start, length, data in text.lines]
    return packets


def _packet(stream: Any, data: bytes, start: int, length: int) -> Any:
    packet = av.Packet(data)
    packet.stream, packet.time_base = stream, MILLISECOND
    packet.pts = packet.dts = start
    packet.duration = length
    return packet


def _second_video(output: Any, extras: Extras) -> Sequence[Any]:
    if not extras.second_video:
        return []
    encoder = av.CodecContext.create("mpeg4", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 32, 32, "yuv420p", Fraction(1, 25)
    payloads = [bytes(packet) for packet in [*encoder.encode(_flat(32, "yuv420p")), *encoder.encode(None)]]
    stream = output.add_mux_stream("mpeg4", rate=25, width=32, height=32)
    stream.time_base = MILLISECOND
    return [_packet(stream, payload, number * 40, 40) for number, payload in enumerate(payloads)]


def jpeg() -> bytes:
    """A small cover."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 64, "yuvj420p", Fraction(1, 1)
    return b"".join(bytes(packet) for packet in [*encoder.encode(_flat(64, "yuvj420p")), *encoder.encode(None)])


def _flat(side: int, pixel_format: str) -> av.VideoFrame:
    picture = np.full((side, side, 3), (90, 140, 30), np.uint8)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)
    frame.pts = 0
    return frame


def _cover(output: Any, extras: Extras, path: Path) -> list[Any]:
    if not extras.cover:
        return []
    if path.suffix == ".mkv":
        output.add_attachment("cover.jpg", "image/jpeg", jpeg())
        return []
    stream = output.add_mux_stream("mjpeg", width=64, height=64)
    stream.disposition = Disposition.attached_pic
    return [_packet(stream, jpeg(), 0, 0)]


def tracks(path: Path) -> dict[int, list[tuple[Fraction, Fraction, bytes]]]:
    """Packets of every track: start and length in seconds, and the bytes."""
    with av.open(str(path)) as container:
        found: dict[int, list[tuple[Fraction, Fraction, bytes]]] = {stream.index: [] for stream in container.streams}
        for packet in container.demux():
            if packet.size:
                start = Fraction(packet.pts or 0) * packet.time_base
                found[packet.stream_index].append((start, (packet.duration or 0) * packet.time_base, bytes(packet)))
        return found


def kinds(path: Path, describe: Callable[[Any], object] = lambda stream: stream.type) -> list[object]:
    """Something of every track, in order."""
    with av.open(str(path)) as container:
        return [describe(stream) for stream in container.streams]
