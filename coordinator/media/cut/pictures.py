"""The result's track of pictures: copied packets and encoded pieces, one behind the other."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from coordinator.media.cut.edges import Edges
from coordinator.media.cut.obstacles import CannotCopy, Obstacle
from coordinator.media.cut.plan import Copied, Encoded, Plan
from coordinator.media.cut.survey import Film
from coordinator.media.cut.tracks import fingerprint
from coordinator.media.packets import packets


@dataclass(slots=True)
class Written:
    """What the proof compares the result with: a number for each packet, in the order of the file."""

    digests: array[int]
    copied: bytearray
    """1 for a copied packet, 0 for an encoded one."""
    places: array[int]
    """The picture's number in the order of showing."""


class Pictures:
    """Iterate once: packets with their times, of track `stream`."""

    def __init__(
        self, film: Film, plan: Plan, source: tuple[InputContainer, VideoStream], edges: Edges, stream: VideoStream
    ) -> None:
        self.written = Written(array("Q"), bytearray(), array("q"))
        self._film, self._plan, self._edges, self._stream = film, plan, edges, stream
        self._source = packets(source[0], [source[1].index])
        self._position = 0

    def packets(self, check: Callable[[], None]) -> Iterator[Packet[Stream]]:
        """Everything. `check` is called while it waits and may raise. Raises CannotCopy (DAMAGED)."""
        for piece in self._plan.pieces:
            if isinstance(piece, Copied):
                yield from self._copied(piece)
            else:
                yield from self._encoded(piece, check)

    def _copied(self, piece: Copied) -> Iterator[Packet[Stream]]:
        base = len(self.written.places)
        for packet in self._source:
            number, self._position = self._position, self._position + 1
            if packet.pts != self._film.pts[number]:
                raise CannotCopy(Obstacle.DAMAGED, f"packet {number} is another than before")
            if number >= piece.first:
                yield self._placed(packet, base + int(self._film.place[number]) - piece.first, copied=True)
            if self._position == piece.end:
                return

    def _encoded(self, piece: Encoded, check: Callable[[], None]) -> Iterator[Packet[Stream]]:
        base = len(self.written.places)
        for number, encoded in enumerate(self._edges.take(check)):
            packet: Packet[Stream] = Packet(encoded.data)
            packet.is_keyframe = encoded.is_keyframe
            yield self._placed(packet, base + number, copied=False)
        if len(self.written.places) != base + piece.frames:
            raise CannotCopy(Obstacle.DAMAGED, "a piece has lost pictures")

    def _placed(self, packet: Packet[Stream], place: int, *, copied: bool) -> Packet[Stream]:
        self.written.digests.append(fingerprint(packet))
        self.written.copied.append(copied)
        packet.time_base = self._film.time_base
        packet.pts, packet.dts = int(self._plan.pts[place]), int(self._plan.dts[len(self.written.places)])
        packet.duration = int(self._plan.durations[place])
        self.written.places.append(place)
        packet.stream = self._stream
        return packet
