"""Writing packets that somebody else made."""

from __future__ import annotations

import logging

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

log = logging.getLogger(__name__)


def mux(output: OutputContainer, packet: Packet[Stream]) -> bool:
    """Write a packet; False when the muxer finds it, or one that had to wait before it, senseless and leaves it out.

    A damaged file has packets whose time runs backwards or whose inside no muxer understands; players pass over
    them, too. Packets of our own encoders are never refused. Raises av.FFmpegError for everything else.
    """
    try:
        output.mux_one(packet)
    except (av.error.ArgumentError, av.error.InvalidDataError, av.error.PatchWelcomeError) as error:
        log.debug("a packet of stream %d was left out: %s", packet.stream_index, error)
        return False
    return True
