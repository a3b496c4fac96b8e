"""A film's sound by an edit list, encoded: packets for a track of the result, made as they are asked for.

    file ──packets──> decode ──blocks──> window ──> edited ──> encode ──packets──> whoever muxes

Nothing is kept but what a fade or a change of speed needs: an hour takes as much memory as a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from coordinator.media.errors import writing
from coordinator.media.limits import MediaLimits
from coordinator.media.open import open_input
from coordinator.media.sound.bit_rate import bit_rate
from coordinator.media.sound.edited import FADE, edited, samples_of
from coordinator.media.sound.encoders import SoundEncoding, add_sound, choose_sound_encoding
from coordinator.media.sound.source import Samples, decoded
from coordinator.media.sound.window import Window
from framewire.edits.edit_list import EditList


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedSound:
    """What was written of a track."""

    index: int
    """Of the track in the film."""
    encoding: SoundEncoding
    samples: int
    expected: int
    """Samples of the whole edit list; a track that ends before the film has fewer."""


class SoundTrack:
    """A track of an output that gets a track of a file by an edit list.

    Make it before the output has its header; then mux what `packets` gives, in its order.
    """

    def __init__(
        self,
        output: OutputContainer,
        encoding: SoundEncoding,
        source: Path,
        index: int,
        edits: EditList,
        *,
        origin: Fraction,
        start: Fraction = Fraction(0),
        fade: Fraction = FADE,
        limits: MediaLimits | None = None,
    ) -> None:
        """`index` of the track in the file. `origin`: when its first picture is shown, where the edit list counts from.

        `start`: when the result's first picture is shown. `fade`: seconds on either side of a join; 0: hard cuts.
        """
        self.stream: AudioStream = add_sound(output, encoding)
        """The new track, without tags."""
        self.samples = 0
        """Written so far."""
        self.encoding = encoding
        """How it is written."""
        self._source, self._index = source, index
        self._edits, self._fade = edits, fade
        self._origin, self._start = origin, start
        self._limits = limits or MediaLimits()

    def packets(self, check: Callable[[], None] = lambda: None) -> Iterator[Packet[Stream]]:
        """Every packet of the track, encoder delay and padding marked. Raises MediaError, WorkerError, or `check`'s."""
        form = self.encoding.samples
        with open_input(self._source, self._limits) as film:
            track = cast("AudioStream", film.streams[self._index])
            blocks = decoded(film, track, form, origin=self._origin, limits=self._limits, check=check)
            for samples in edited(Window(blocks, form), self._edits, fade=self._fade):
                yield from self._encoded(samples)
        if not self.samples:  # some containers cannot describe a track that has nothing
            yield from self._encoded(np.zeros((form.channels, form.rate // 100), form.dtype))
        with writing():
            yield from cast("list[Packet[Stream]]", self.stream.encode(None))

    def rendered(self) -> RenderedSound:
        """What was written, when all of it has been."""
        return RenderedSound(
            index=self._index,
            encoding=self.encoding,
            samples=self.samples,
            expected=samples_of(self._edits, self.encoding.rate),
        )

    def _encoded(self, samples: Samples) -> list[Packet[Stream]]:
        if not samples.shape[1]:
            return []
        form = self.encoding.samples
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format=form.name, layout=form.layout)
        frame.sample_rate, frame.time_base = form.rate, Fraction(1, form.rate)
        frame.pts = round(self._start * form.rate) + self.samples
        self.samples += samples.shape[1]
        with writing():
            return cast("list[Packet[Stream]]", self.stream.encode(frame))


def sound_encodings(path: Path, container: str, limits: MediaLimits | None = None) -> dict[int, SoundEncoding | None]:
    """How each sound track of a file is to be encoded for a container (FFmpeg's name); None for one nothing can write.

    Raises MediaError.
    """
    limits = limits or MediaLimits()
    with open_input(path, limits) as film:
        return {
            track.index: choose_sound_encoding(track, container, bit_rate=bit_rate(path, track, limits))
            for track in film.streams.audio
        }


def render_sound(
    track: SoundTrack, sink: Callable[[Packet[Stream]], None], check: Callable[[], None] = lambda: None
) -> int:
    """Hand every packet of the track to `sink`; the samples that were written."""
    for packet in track.packets(check):
        sink(packet)
    return track.samples
