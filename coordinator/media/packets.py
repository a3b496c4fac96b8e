"""The packets of some tracks, in the order of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream


def packets(
    film: InputContainer, tracks: Sequence[int], *, on_break: Callable[[av.FFmpegError], Any] = lambda _: None
) -> Iterator[Packet[Stream]]:
    """Packets with content of the tracks of these indices; none when there are no tracks.

    Ends at the container's end of file, wherever it is. A file that breaks off ends there too: then `on_break` is told.
    """
    found = film.demux([film.streams[index] for index in tracks]) if tracks else iter(())
    while True:
        try:
            packet = next(found, None)
        except av.FFmpegError as error:
            on_break(error)
            return
        if packet is None:
            return
        if packet.size:
            yield packet
