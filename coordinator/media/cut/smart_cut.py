"""Cut a film: what can be copied is copied, and the result is proved before anybody gets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from pathlib import Path

from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from coordinator.media.codecs import mark
from coordinator.media.container import MP4_LIKE
from coordinator.media.cut.edges import Edges
from coordinator.media.cut.encoder import Setup, choose_setup, parameter_sets
from coordinator.media.cut.obstacles import CannotCopy, Obstacle
from coordinator.media.cut.pictures import Pictures
from coordinator.media.cut.plan import Encoded, Plan, make_plan
from coordinator.media.cut.proof import prove
from coordinator.media.cut.sound import can_be_copied
from coordinator.media.cut.survey import Film, survey_film
from coordinator.media.cut.timeline import Shift
from coordinator.media.cut.tracks import OtherTracks, without_videos
from coordinator.media.decode import Source
from coordinator.media.errors import writing
from coordinator.media.limits import MediaLimits
from coordinator.media.mux import mux
from coordinator.media.open import main_video, open_input
from coordinator.media.passengers import LeftOut, Passengers, choose_passengers, look_at_passengers
from coordinator.media.probe import VideoFacts, inspect
from coordinator.media.result_file import by_time, open_result
from coordinator.media.sound.edited import FADE
from coordinator.media.sound.encoders import SoundEncoding
from coordinator.media.sound.render import RenderedSound, SoundTrack
from coordinator.media.tracks import Tracks, read_covers, track_tags
from framewire.edits.edit_list import WHOLE, EditList


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What was written, and proved to be so."""

    frames_in: int
    """Pictures that the film shows."""
    copied: int
    """Packets of pictures that are the film's, bit for bit."""
    encoded: int
    """Pictures that were encoded again."""
    joins: int
    """Places where what follows did not follow before."""
    sound_packets: int
    """Packets of sound that are the film's, bit for bit, of all tracks."""
    furthest: Fraction
    """Seconds by which a sound track is off against the picture at the worst join."""
    container: str
    """Format: `mp4`, `mov` or `matroska`."""
    left_out: tuple[LeftOut, ...]
    remarks: tuple[str, ...]
    """What people should know, a line each."""
    sounds: tuple[RenderedSound, ...]
    """Tracks whose sound was encoded again."""

    @property
    def frames(self) -> int:
        """Pictures of the result."""
        return self.copied + self.encoded


def smart_cut(
    source: Path,
    target: Path,
    edits: EditList,
    *,
    facts: VideoFacts | None = None,
    limits: MediaLimits | None = None,
    container: str = "",
    fade: Fraction = FADE,
    check: Callable[[], None] = lambda: None,
    on_packet: Callable[[int, int], None] = lambda _, __: None,
) -> Cut:
    """Write what `edits` keeps of `source`, whole groups of pictures packet for packet.

    `facts`: what `inspect` finds; when None it is asked. `container`: `mp4`, `mov`, `mkv`, or "" for what fits. `fade`:
    seconds that sound fades on either side of a join. `check` is called often, also while it waits, and may raise;
    `on_packet` with the pictures and the bytes written so far.

    Raises CannotCopy when this film has to be encoded again, ValueError when nothing is kept, MediaError when it cannot
    be read, WorkerError when the result cannot be written. No file is left then.
    """
    limits = limits or MediaLimits()
    facts = facts or inspect(source, limits).video
    film = survey_film(source, limits, check)
    plan = make_plan(film, edits, samples=facts.width * facts.height)
    try:
        with ExitStack() as stack:
            return _Work(source, target, film, plan, facts, limits, fade).run(stack, container, check, on_packet)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


@dataclass(frozen=True, slots=True)
class _Work:
    """One cut."""

    source: Path
    target: Path
    film: Film
    plan: Plan
    facts: VideoFacts
    limits: MediaLimits
    fade: Fraction

    def run(
        self, stack: ExitStack, container: str, check: Callable[[], None], on_packet: Callable[[int, int], None]
    ) -> Cut:
        opened = stack.enter_context(open_input(self.source, self.limits))  # two: one is read for pictures,
        others = stack.enter_context(open_input(self.source, self.limits))  # the other for all that goes with them
        video = main_video(opened, self.limits)
        setup = choose_setup(video, self.facts, self.film.configuration)
        aboard = self._passengers(others, container)
        edges = stack.enter_context(self._edges(setup))
        with writing():
            output = stack.enter_context(self._open(others, aboard))
            stream = self._add_video(output, video, setup)
            covers = read_covers(self.source, aboard, self.limits)
            tracks = Tracks(output, others, aboard, covers, render=self._render)
            pictures = Pictures(self.film, self.plan, (opened, video), edges, stream)
            rest = OtherTracks(others, tracks, self.plan.parts, self._zero, early=aboard.container in MP4_LIKE)
            beside = [iter(rest), *(sound.packets(check) for sound in tracks.sounds)]
            everything = reduce(by_time, beside, pictures.packets(check))
            self._write(output, everything, pictures, check, on_packet)
            output.close()
        prove(self.target, self.film, self.plan, pictures.written, rest.digests, self.limits, check)
        aboard = replace(aboard, left_out=(*aboard.left_out, *tracks.left_out))
        return self._cut(pictures, rest, aboard, tuple(sound.rendered() for sound in tracks.sounds))

    @property
    def _zero(self) -> Fraction:
        """The film's own time of its first picture."""
        return int(self.film.shown[self.film.visible[0]]) * self.film.time_base

    def _passengers(self, film: InputContainer, container: str) -> Passengers:
        """All sound is copied, or none."""
        aboard = choose_passengers(film, main_video(film, self.limits), wanted=container)
        tracks = [film.streams[index] for index in aboard.copied if film.streams[index].type == "audio"]
        frame = 1 / self.facts.rate if self.facts.rate else Fraction(1, 60)
        plain = all(part.volume == WHOLE for part in self.plan.parts)
        if plain and all(can_be_copied(track, frame, self.fade) for track in tracks):
            return without_videos(film, aboard)
        return look_at_passengers(self.source, self.limits, wanted=container, edited=True)

    def _render(self, output: OutputContainer, index: int, encoding: SoundEncoding) -> SoundTrack:
        return SoundTrack(
            output,
            encoding,
            self.source,
            index,
            self.plan.edits,
            origin=self._zero,
            fade=self.fade,
            limits=self.limits,
        )

    def _edges(self, setup: Setup) -> Edges:
        pieces, at = [], 0
        for piece in self.plan.pieces:
            count = piece.frames if isinstance(piece, Encoded) else piece.end - piece.first
            if isinstance(piece, Encoded):
                pieces.append((piece, self.plan.pts[at : at + count].tolist()))
            at += count
        return Edges(self.source, self.film, setup, self.limits, pieces)

    def _open(self, film: InputContainer, aboard: Passengers) -> OutputContainer:
        source = Source(
            metadata=dict(film.metadata),
            chapters=list(Shift(self.plan.parts, self._zero).chapters(film.chapters())),
            video_metadata={},
            tracks=[film.streams[index] for index in aboard.copied],
        )
        return open_result(self.target, aboard.container, replace(self.facts, first_pts=0), source)

    def _add_video(self, output: OutputContainer, video: VideoStream, setup: Setup) -> VideoStream:
        stream = output.add_stream_from_template(video, opaque=True)
        if self.plan.encoded:
            stream.codec_context.extradata = self.film.configuration.with_sets(parameter_sets(setup))
        stream.codec_context.framerate = self.facts.rate or Fraction(25)
        stream.time_base = self.facts.time_base
        mark(stream.codec_context)
        stream.set_display_matrix(self.facts.display_matrix)
        stream.metadata.update(track_tags(dict(video.metadata)))
        stream.disposition = video.disposition
        return stream

    def _write(
        self,
        output: OutputContainer,
        packets: Iterator[Packet[Stream]],
        pictures: Pictures,
        check: Callable[[], None],
        on_packet: Callable[[int, int], None],
    ) -> None:
        size = 0
        for packet in packets:
            check()
            size += packet.size
            if not mux(output, packet):
                raise CannotCopy(Obstacle.DAMAGED, "a packet that makes no sense")
            on_packet(len(pictures.written.places), size)

    def _cut(self, pictures: Pictures, rest: OtherTracks, aboard: Passengers, sounds: tuple[RenderedSound, ...]) -> Cut:
        copied = sum(pictures.written.copied)
        return Cut(
            frames_in=self.film.visible[1] - self.film.visible[0],
            copied=copied,
            encoded=self.plan.frames - copied,
            joins=len(self.plan.ranges) - 1,
            sound_packets=sum(cutter.copied for cutter in rest.sound.values()),
            furthest=max((cutter.furthest for cutter in rest.sound.values()), default=Fraction(0)),
            container=aboard.container,
            left_out=aboard.left_out,
            remarks=aboard.remarks,
            sounds=sounds,
        )
