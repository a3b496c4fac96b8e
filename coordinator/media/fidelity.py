"""Proof of what a job did and did not change, from both files themselves, without decoding them."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.packet import Packet
from av.stream import Stream
from numpy.typing import NDArray

from coordinator.media.checks import report
from coordinator.media.edit_fidelity import EditComparison, Pictures, describe_edit
from coordinator.media.errors import reading
from coordinator.media.limits import MediaLimits
from coordinator.media.open import main_video, open_input
from coordinator.media.packets import packets
from coordinator.media.passengers import LeftOut
from coordinator.media.probe import Inspection, VideoFacts, codec_name
from coordinator.media.retiming import Retiming
from coordinator.media.sound.render import RenderedSound
from coordinator.media.tags import compare_tags
from framewire.edits.edit_list import EditList
from framewire.v1.job_pb2 import AudioFidelity, FidelityReport, Omission, TagFidelity

_ROUNDED = 5e-7
"""Seconds that are nothing where they are told in thousandths of a millisecond."""


@dataclass(slots=True)
class _Track:
    """What demuxing tells of one track."""

    index: int
    codec: str
    time_base: Fraction
    packets: int = 0
    first: int | None = None
    last: int = -(1 << 63)
    tail: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    shown: array[int] = field(default_factory=lambda: array("q"))
    """Of a video track: pts of its pictures, in the order of the file."""
    lengths: array[int] = field(default_factory=lambda: array("q"))
    """And for how long each is shown, 0 when unknown."""
    facts: VideoFacts | None = None
    """Of a video track."""

    def add(self, packet: Packet[Stream]) -> None:
        if self.facts is None:
            self.digest.update(packet)
        elif packet.is_discard:  # only there so that what comes after it can be decoded
            return
        pts = packet.dts if self.facts is not None and self.facts.by_decoding else packet.pts
        self.packets += 1
        if pts is None:
            return
        self.first = pts if self.first is None else min(self.first, pts)
        if pts >= self.last:
            self.last, self.tail = pts, packet.duration or 0
        if self.facts is not None:
            self.shown.append(pts)
            self.lengths.append(packet.duration or 0)

    def moments(self) -> NDArray[np.float64]:
        """When each picture is shown, in seconds from the first. Equal times are equal numbers in any time base."""
        ordered = np.sort(np.frombuffer(self.shown, np.int64))
        ticks = (ordered - ordered[:1]).astype(np.float64)
        return ticks * self.time_base.numerator / self.time_base.denominator  # exact, then rounded once

    def pictures(self) -> Pictures:
        """All of them, in the order of showing."""
        pts, lengths = np.frombuffer(self.shown, np.int64), np.frombuffer(self.lengths, np.int64)
        order = np.argsort(pts, kind="stable")
        return Pictures(pts=pts[order] + self._late, lengths=lengths[order], unit=self.time_base)

    @property
    def _late(self) -> int:
        """What lies between decoding and showing, where packets tell the former."""
        return self.facts.first_pts - (self.first or 0) if self.facts is not None and self.facts.by_decoding else 0

    @property
    def start(self) -> Fraction:
        """Of the first picture that can be decoded, or the first packet of sound."""
        return (self.first or 0 if self.facts is None else self.facts.first_pts) * self.time_base

    @property
    def duration(self) -> Fraction:
        return (self.last - self.first + self.tail) * self.time_base if self.first is not None else Fraction(0)


@dataclass(slots=True)
class _File:
    video: _Track
    audio: list[_Track]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a run says of itself: what cannot be seen in the files."""

    frames_in: int
    """Frames decoded from the input."""
    held: int = 0
    """Of them, those that repeat the one before and were not computed again."""
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()
    edits: EditList | None = None
    """What was kept; None when all was, with its time stamps and its sound."""
    sounds: tuple[RenderedSound, ...] = ()
    """Tracks that were encoded again."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """Of the checks of frames, among others."""


def fidelity_report(
    before: Path, after: Path, *, source: Inspection, result: Inspection, work: Work, limits: MediaLimits
) -> FidelityReport:
    """Compare a job's input with its result. `source` and `result`: what `inspect` finds in them. Raises MediaError."""
    old, new = _scan(before, source.video, limits), _scan(after, result.video, limits)
    retiming = Retiming(work.edits, source.video) if work.edits is not None else None
    tags = compare_tags(before, after, source.video, result.video, limits, time=retiming)
    told = FidelityReport(
        frames_in=work.frames_in,
        frames_out=new.video.packets,
        video_in=source.media.video,
        video_out=result.media.video,
        duration_in=float(old.video.duration),
        duration_out=float(new.video.duration),
        audio=_audio(old, new),
        held_frames=work.held,
        left_out=[Omission(what=omission.what, why=omission.why) for omission in work.left_out],
        checks=report(work.counters),
        remarks=work.remarks,
    )
    if retiming is None:
        told.av_drift_ms = _drift(old, new)
        told.tags.append(_timing(old.video, new.video, work.frames_in))
    else:
        _add_edit(told, retiming, work, old, new)
    told.tags.extend(tags)
    return told


def _add_edit(report: FidelityReport, retiming: Retiming, work: Work, old: _File, new: _File) -> None:
    """What an edit list says of the result, in place of what the input says."""
    found = EditComparison(retiming, old.video.pictures(), new.video.pictures())
    if old.video.shown:  # in AVI packets do not say when they are shown
        report.frames_in = len(old.video.shown)  # behind the last kept part nothing was decoded, or nothing at all
        report.edit.CopyFrom(found.report)
        report.tags.append(found.timing())
        report.av_drift_ms = found.report.largest_offset_ms
    sounds = {sound.index: sound for sound in work.sounds}
    for number, track in enumerate(report.audio):
        describe_edit(track, retiming.edits, sounds.get(old.audio[number].index))


def _timing(old: _Track, new: _Track, frames_in: int) -> TagFidelity:
    """Whether each frame is shown when it was, counted from the first."""
    before, after = f"{frames_in} frames", f"{len(new.shown)} frames"
    if before != after:
        return TagFidelity(name="time stamps", before=before, after=after, kept=False)
    off = _furthest(old.moments(), new.moments())
    off = off if off >= _ROUNDED else 0.0
    after = f"off by at most {off * 1000:.3f} ms" if off else "the same"
    return TagFidelity(name="time stamps", before=before, after=after, kept=not off)


def _furthest(old: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    """How far any of `new` is from its own in `old`; from the nearest, where some packets of the input show nothing."""
    if not len(old) or not len(new):
        return 0.0
    if len(old) == len(new):
        return float(np.abs(old - new).max())
    behind = np.searchsorted(old, new).clip(max=len(old) - 1)
    before = (behind - 1).clip(min=0)
    return float(np.minimum(np.abs(new - old[before]), np.abs(new - old[behind])).max())


def _audio(source: _File, result: _File) -> list[AudioFidelity]:
    return [_compare(before, _matching(result, source, number)) for number, before in enumerate(source.audio)]


def _matching(result: _File, source: _File, number: int) -> _Track | None:
    """The result's track for the input's: tracks keep their order, but one that fits no container is left out."""
    if len(result.audio) == len(source.audio):
        return result.audio[number]
    digest = source.audio[number].digest.digest()
    return next((track for track in result.audio if track.digest.digest() == digest), None)


def _compare(before: _Track, after: _Track | None) -> AudioFidelity:
    sha_in = before.digest.hexdigest()
    sha_out = after.digest.hexdigest() if after else ""
    packets_out = after.packets if after else 0
    return AudioFidelity(
        codec=before.codec,
        packets_in=before.packets,
        packets_out=packets_out,
        sha256_in=sha_in,
        sha256_out=sha_out,
        identical=sha_in == sha_out and before.packets == packets_out,
    )


def _drift(source: _File, result: _File) -> float:
    """Largest change, in milliseconds, of the offset between the start of a sound track and that of the picture."""
    changes = [
        (after.start - result.video.start) - (before.start - source.video.start)
        for number, before in enumerate(source.audio)
        if before.packets and (after := _matching(result, source, number)) is not None
    ]
    return max((abs(float(change)) * 1000 for change in changes), default=0.0)


def _scan(path: Path, facts: VideoFacts, limits: MediaLimits) -> _File:
    with open_input(path, limits) as container, reading("compare the result with the input"):
        video = main_video(container, limits)
        tracks = {stream.index: _track(stream) for stream in (video, *container.streams.audio)}
        tracks[video.index].facts = facts
        for packet in packets(container, list(tracks)):  # where it breaks off, whoever decoded it has said so
            tracks[packet.stream_index].add(packet)
        return _File(tracks.pop(video.index), list(tracks.values()))


def _track(stream: Stream) -> _Track:
    return _Track(stream.index, codec_name(stream), stream.time_base or Fraction(1))
