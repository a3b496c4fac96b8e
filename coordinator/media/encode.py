"""From pictures to a unit: frames encoded by an encoder of their own into a file that can be played by itself.

A unit is fragmented MP4 (`ftyp`, `moov`, then fragments) whose time stamps are the film's. Its encoder has seen no
frame of another unit, so its bytes depend on its own frames alone: whoever starts at a unit gets what he would have
got coming from the start. `assemble` makes the result of the units.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from coordinator.media.codecs import EncoderSettings, add_encoder
from coordinator.media.decode import CopiedPacket
from coordinator.media.errors import writing
from coordinator.media.mux import mux
from coordinator.media.probe import VideoFacts
from coordinator.media.timeline import Stamp
from framewire.errors import MediaError

_FRAGMENTED = "+empty_moov+delay_moov+default_base_moof+frag_discont+skip_trailer"
# `delay_moov` writes an edit list that takes the encoder's delay back, `frag_discont` makes the first fragment say
# when it is shown: together they put a unit at its place in the film
_FRAGMENT_MICROSECONDS = 1_000_000
_FRAGMENT_BYTES = 8 << 20
_FAR_SECONDS = 10.0
_TOO_FEW = 2
"""Frames that x265 gives decoding times out of memory it has not written: it would take them from the third."""
_STREAMABLE = frozenset({"aac", "mp3", "opus", "flac", "alac"})
# AC-3 is missing: fragmented MP4 wants a packet of it before it can say what is in the file, and a unit may have none


class UnitEncoder:
    """An open unit. For one thread at a time. `close` completes the file; `abort` leaves none."""

    def __init__(
        self,
        path: Path,
        facts: VideoFacts,
        *,
        width: int,
        height: int,
        settings: EncoderSettings,
        tracks: Sequence[Stream] = (),
        near: int = 0,
    ) -> None:
        """`tracks`: those whose packets may come by `copy`. `near`: a pts close before the first frame's."""
        self.path = path
        self.frames = 0
        self._facts = facts
        self._shift = unit_shift(facts)
        self._closed = False
        self._seconds = float((near + self._shift) * facts.time_base)
        self._order: list[int] = []
        with writing():
            self._output = _open(path, facts)
            self._video = add_encoder(self._output, facts, width=width, height=height, settings=settings)
            self._video.set_display_matrix(scaled_matrix(facts, width))
            self._copies = _add_copies(self._output, tracks)

    def encode(self, frame: VideoFrame, stamp: Stamp) -> None:
        """Add a picture in the encoder's pixel format. The frame's own time stamp is set; its pixels are only read."""
        with writing():
            frame.pts, frame.duration = stamp.pts + self._shift, stamp.duration
            frame.time_base = self._facts.time_base
            self._mux(self._video.encode(frame))
            self._seconds = float(frame.pts * self._facts.time_base)
            self.frames += 1

    def copy(self, copied: CopiedPacket) -> None:
        """Add a packet of a track that is not touched.

        Left out: one of a track that cannot be in a unit, and one that lies in the file far from the pictures of its
        time, which the muxer would keep in memory until they come.
        """
        stream, packet = self._copies.get(copied.track), copied.packet
        if stream is None or packet.dts is None or packet.pts is None:
            return
        shift = round(self._shift * self._facts.time_base / packet.time_base)
        if abs(float((packet.pts + shift) * packet.time_base) - self._seconds) > _FAR_SECONDS:
            return
        with writing():
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = stream
            mux(self._output, packet)

    def close(self) -> None:
        """Flush the encoder, complete the file and give their memory back. Idempotent.

        May be called from another thread than `encode`, after its last.
        """
        if self._closed:
            return
        with writing():
            self._mux(self._last_packets())
            self._output.close()
            self._closed = True
        self._copies.clear()
        del self._video, self._output

    def _last_packets(self) -> list[Packet[VideoStream]]:
        packets = self._video.encode(None)
        if self.frames <= _TOO_FEW:
            for packet in packets:
                packet.dts = packet.pts  # so few frames are in no other order
        return packets

    def abort(self) -> None:
        """Delete what has been written. Nothing happens after `close`. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.path.unlink(missing_ok=True)  # before its muxer is closed, which takes a while
        with contextlib.suppress(Exception):  # the file is gone, whatever its muxer thinks of that
            self._output.close()

    @property
    def reordering(self) -> int:
        """By how many places the encoder moved a frame ahead at most; known when closed."""
        places = {pts: place for place, pts in enumerate(sorted(self._order))}
        return max((place - places[pts] for place, pts in enumerate(self._order)), default=0)

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            self._order.append(packet.pts or 0)
            mux(self._output, packet)  # type: ignore[arg-type]  # a video track's packet is a packet


def unit_shift(facts: VideoFacts) -> int:
    """What is added to every pts inside a unit: a fragment cannot say a time before zero."""
    return max(0, -facts.first_pts)


def header_bytes(path: Path) -> int:
    """Bytes of a unit before its first fragment: what says how to decode the rest.

    Raises MediaError when there is no fragment: pictures of our own can always be written, so a copied track's header
    is one that no muxer can write.
    """
    at = 0
    with path.open("rb") as file:
        while len(head := file.read(16)) >= 8 and head[4:8] != b"moof":
            size = int.from_bytes(head[:4], "big")
            at += max(8, size if size != 1 else int.from_bytes(head[8:16], "big"))
            file.seek(at)
        if head[4:8] != b"moof":
            raise MediaError("a sound track of the file has a header that makes no sense; export the file again")
    return at


def scaled_matrix(facts: VideoFacts, width: int) -> tuple[int, ...] | None:
    """The display matrix for pictures of another size: its translation is in pixels."""
    matrix, scale = facts.display_matrix, Fraction(width, facts.width)
    if matrix is None:
        return None
    moved = (int(matrix[6] * scale), int(matrix[7] * scale))
    if any(abs(value) >= 1 << 31 for value in moved):
        moved = (0, 0)
    return (*matrix[:6], *moved, matrix[8])


def _open(path: Path, facts: VideoFacts) -> OutputContainer:
    options = {
        "movflags": _FRAGMENTED,
        "use_editlist": "1",
        "avoid_negative_ts": "disabled",
        "frag_duration": str(_FRAGMENT_MICROSECONDS),
        "frag_size": str(_FRAGMENT_BYTES),
    }
    if facts.time_base.denominator < 1 << 31:
        options["video_track_timescale"] = str(facts.time_base.denominator)
    return av.open(f"file:{path.absolute()}", "w", format="mp4", container_options=options)


def _add_copies(output: OutputContainer, tracks: Sequence[Stream]) -> dict[int, Stream]:
    copies: dict[int, Stream] = {}
    for track in tracks:
        if track.codec_context is not None and track.codec_context.codec.canonical_name in _STREAMABLE:
            with contextlib.suppress(ValueError, av.FFmpegError):
                copies[track.index] = output.add_stream_from_template(track, opaque=True)
    return copies
