"""What goes into the result beside the pictures, each packet at its new time."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from typing import cast

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from coordinator.media.cut.plan import Part
from coordinator.media.cut.sound import SoundCutter
from coordinator.media.cut.timeline import Shift, TextShift
from coordinator.media.packets import packets
from coordinator.media.passengers import LeftOut, Passengers
from coordinator.media.tracks import Tracks


def fingerprint(data: Packet[Stream] | bytes) -> int:
    """64 bits of a packet's SHA-256."""
    return int.from_bytes(sha256(data).digest()[:8], "big")


def without_videos(film: InputContainer, aboard: Passengers) -> Passengers:
    """A second video is left out: its pictures would have to be cut, too."""
    videos = [index for index in aboard.copied if film.streams[index].type == "video"]
    if not videos:
        return aboard
    return replace(
        aboard,
        copied=tuple(index for index in aboard.copied if index not in videos),
        left_out=(
            *aboard.left_out,
            *(LeftOut(what=f"video track {index}", why="only one can be cut") for index in videos),
        ),
        remarks=tuple(line for line in aboard.remarks if "steps work on the main video alone" not in line),
    )


class OtherTracks:
    """The packets of all tracks but the picture's, in the order of the file."""

    def __init__(
        self, film: InputContainer, tracks: Tracks, parts: Sequence[Part], zero: Fraction, *, early: bool
    ) -> None:
        """`early`: the result's container knows times before 0."""
        self._film, self._tracks = film, tracks
        self.sound: dict[int, SoundCutter] = {}
        """By the track's index in the film."""
        self.digests: dict[int, array[int]] = {}
        """Of every packet of sound that was written, by the track's index in the film."""
        self._texts: dict[int, TextShift] = {}
        shift = Shift(parts, zero)
        for index in tracks.inputs:
            track = film.streams[index]
            if track.type == "audio":
                self.sound[index] = SoundCutter(cast("AudioStream", track), parts, zero, early=early)
                self.digests[index] = array("Q")
            elif track.type == "subtitle":
                self._texts[index] = TextShift(shift)

    def __iter__(self) -> Iterator[Packet[Stream]]:
        """Everything that is kept, as packets of the result."""
        for packet in packets(self._film, self._tracks.inputs):
            for placed in self._mover(packet.stream_index)(packet):
                yield from self._ours(placed)
        for text in self._texts.values():
            for placed in text.rest():
                yield from self._ours(placed)

    def _mover(self, index: int) -> Callable[[Packet[Stream]], Iterator[Packet[Stream]]]:
        if index in self.sound:
            return self.sound[index].packets
        if index in self._texts:
            return self._texts[index].packets
        return iter_one  # a cover

    def _ours(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        index = packet.stream_index
        if index in self.digests:
            self.digests[index].append(fingerprint(packet))
        if (ours := self._tracks.packet(packet)) is not None:
            yield ours


def iter_one(packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
    """The packet as it is."""
    yield packet
