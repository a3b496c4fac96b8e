"""The file that a result is written to: how it is opened, and the order in which packets go into it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from coordinator.media.container import MP4_LIKE
from coordinator.media.decode import Source
from coordinator.media.probe import VideoFacts
from coordinator.media.tracks import kept_tags


def open_result(path: Path, container: str, facts: VideoFacts, source: Source) -> OutputContainer:
    """A new file of this format, with the film's tags and chapters and without tracks.

    Times count from where the film's own do. Raises av.FFmpegError.
    """
    options = {"avoid_negative_ts": "disabled" if facts.first_pts >= 0 else "make_non_negative"}
    if container in MP4_LIKE:
        options["movflags"] = "+faststart"
        options["movie_timescale"] = str(_movie_timescale(facts, source))
        if facts.time_base.numerator == 1 and facts.time_base.denominator < 1 << 31:
            options["video_track_timescale"] = str(facts.time_base.denominator)
    output = av.open(f"file:{path.absolute()}", "w", format=container, container_options=options)
    output.metadata.update(kept_tags(source.metadata))
    if source.chapters:
        output.set_chapters(list(source.chapters))
    return output


def _movie_timescale(facts: VideoFacts, source: Source) -> int:
    """Units a second in which MP4 keeps the start of every track: one in which all of them are exact, if there is.

    It counts sound in samples, whatever the input counts it in.
    """
    units = [facts.time_base.denominator]
    for track in source.tracks:
        units.append(track.time_base.denominator if track.time_base else 1)
        if isinstance(track, AudioStream) and track.codec_context is not None:
            units.append(max(1, track.codec_context.sample_rate))
    exact = math.lcm(*units)
    return exact if exact < 1 << 31 else 90_000


def by_time(one: Iterator[Packet[Stream]], other: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
    """Both, each in its own order, the earlier first: a muxer keeps packets until it has seen the other tracks'."""
    left, right = next(one, None), next(other, None)
    while left is not None or right is not None:
        if right is None or (left is not None and _seconds(left) <= _seconds(right)):
            assert left is not None  # noqa: S101 - one of both is there
            following, left = left, next(one, None)
        else:
            following, right = right, next(other, None)
        yield following


def _seconds(packet: Packet[Stream]) -> float:
    time = packet.dts if packet.dts is not None else packet.pts
    base = packet.time_base
    return (time or 0) * base.numerator / base.denominator  # a film has millions; fractions are slow
