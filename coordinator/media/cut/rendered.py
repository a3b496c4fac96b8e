"""Sound that cannot be cut between packets: decoded, cut to the sample, faded at the joins and encoded again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from coordinator.media.limits import MediaLimits
from coordinator.media.passengers import LeftOut, Passengers
from coordinator.media.result_file import by_time
from coordinator.media.sound.encoders import SoundEncoding
from coordinator.media.sound.render import SoundTrack, sound_encodings
from coordinator.media.tracks import kept_tags
from framewire.edits.edit_list import EditList


class RenderedSound:
    """All sound tracks of a film, for an output that has no header yet."""

    def __init__(
        self, path: Path, film: InputContainer, aboard: Passengers, fade: Fraction, limits: MediaLimits
    ) -> None:
        """`aboard` is left without sound in `passengers`. Raises MediaError."""
        self._path, self._film, self._fade, self._limits = path, film, fade, limits
        chosen = sound_encodings(path, aboard.container, limits)
        self._chosen = {index: encoding for index, encoding in chosen.items() if encoding is not None}
        self._tracks: list[SoundTrack] = []
        copied = tuple(index for index in aboard.copied if index not in chosen)
        self.passengers = replace(aboard, copied=copied, left_out=(*aboard.left_out, *_lost(film, aboard, chosen)))

    def add_to(self, output: OutputContainer, edits: EditList, origin: Fraction) -> None:
        """Make the tracks. `origin`: the film's own time of its first picture."""
        for index, encoding in self._chosen.items():
            track = SoundTrack(
                output, encoding, self._path, index, edits, origin=origin, fade=self._fade, limits=self._limits
            )
            track.stream.metadata.update(kept_tags(dict(self._film.streams[index].metadata)))
            track.stream.disposition = self._film.streams[index].disposition
            self._tracks.append(track)

    def packets(self, check: Callable[[], None]) -> Iterator[Packet[Stream]]:
        """Of all tracks, the earlier first."""
        return _merged([track.packets(check) for track in self._tracks])

    @property
    def remarks(self) -> Sequence[str]:
        """What people should know, a line each."""
        return [line for encoding in self._chosen.values() for line in encoding.remarks]


def _merged(tracks: Sequence[Iterator[Packet[Stream]]]) -> Iterator[Packet[Stream]]:
    merged: Iterator[Packet[Stream]] = iter(())
    for track in tracks:
        merged = by_time(merged, track)
    return merged


def _lost(film: InputContainer, aboard: Passengers, chosen: dict[int, SoundEncoding | None]) -> Iterator[LeftOut]:
    """Tracks that were to be copied and that nothing here writes."""
    for index in aboard.copied:
        if index in chosen and chosen[index] is None:
            yield LeftOut(what=f"audio track {index}", why="nothing here can decode it and write it to this container")
