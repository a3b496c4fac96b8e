"""Which parts of a film `cut_silence` keeps: what is heard and seen, what is decided from it, and the list of it.

A job and an estimate both come here, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from coordinator.media.levels import LevelMeter, Levels, Samples
from coordinator.media.limits import MediaLimits
from coordinator.media.listen import Ear, MakeEar, listen
from coordinator.media.motion import picture_changes
from coordinator.media.probe import Inspection, VideoFacts
from coordinator.media.waveform import Wave
from coordinator.speech import SpeechMeter
from framewire.edits.decide import Loud, decide
from framewire.edits.edit_list import EditList
from framewire.edits.grid import snap
from framewire.errors import ErrorCode, StepError, Violation
from framewire.steps.cut_silence import ANY, MIX, CutSettings, read_cut_settings
from framewire.v1.step_pb2 import DETECTOR_LEVEL, DETECTOR_MOTION, DETECTOR_SPEECH, CutSilence

Check = Callable[[], None]
Tell = Callable[[float], None]
"""Of looking and listening, from 0 to 1: so much is done."""
_OF_SOUND = 0.1
"""Listening takes so much of the time where pictures are looked at, too: they have to be decoded."""
_USUAL_HOP = Fraction(1, 30)
_SLOWEST, _FASTEST = 5, 240
"""Pictures a second between which a hop is the time of a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutAnalysis:
    """What was found out about a film."""

    edits: EditList
    """What is kept; not empty."""
    seconds: Fraction
    """The film lasts."""
    wave: Wave | None
    """How loud it is; None when nobody listened or there is no sound."""
    threshold: float | None
    """The level from which sound is loud; None when something else decides."""


def nobody() -> None:
    """Checks nothing."""


def untold(share: float) -> None:
    """Nobody wants to know."""


def decide_cuts(
    path: Path,
    step: CutSilence,
    inspection: Inspection,
    limits: MediaLimits,
    check: Check = nobody,
    tell: Tell = untold,
) -> EditList:
    """What is kept of the film at `path`, every span from one boundary between two pictures to another.

    `check` is called for every packet and may raise what ends it; `tell` now and then, when the film says how many
    pictures it has. Memory: some bytes for each picture. Raises StepError: CUT_NO_AUDIO, CUT_NOTHING_LEFT, STEP_INVALID
    (a track that is not there); MediaError.
    """
    return analyse(path, step, inspection, limits, check, tell).edits


def analyse(
    path: Path,
    step: CutSilence,
    inspection: Inspection,
    limits: MediaLimits,
    check: Check = nobody,
    tell: Tell = untold,
    *,
    draw: bool = False,
) -> CutAnalysis:
    """What `decide_cuts` gives, and what a picture of it needs: with `draw` sound is listened to in any case."""
    settings = read_cut_settings(step)
    tracks = _tracks(settings, inspection, draw=draw)
    ears = _Ears(settings, tracks, hop_of(inspection.video), peaks=draw)
    first, second = _passes(settings, inspection, tell)
    grid = listen(path, inspection.video, ears.makers(), limits=limits, check=check, passed=first)
    if settings.cuts is not None:
        edits = snap(settings.cuts, grid)
    else:
        loud = ears.loud()
        if settings.looks:
            least = settings.threshold if settings.detector == DETECTOR_MOTION else settings.motion
            changes = picture_changes(path, ears.hop, limits=limits, check=check, passed=second)
            loud = _either(loud, changes >= least)
        edits = decide(loud, ears.hop, settings.rules, grid)
    if not edits.spans:
        raise _nothing_left(settings, ears, grid.end)
    threshold = settings.threshold if settings.hears and settings.detector == DETECTOR_LEVEL else None
    return CutAnalysis(edits=edits, seconds=grid.end, wave=ears.wave(), threshold=threshold)


def _passes(settings: CutSettings, inspection: Inspection, tell: Tell) -> tuple[Callable[[int], None], ...]:
    """What the first pass over the film, for sound, and the second, for motion, tell their pictures to."""
    frames, share = inspection.video.frames, _OF_SOUND if settings.looks else 1.0

    def of(begin: float, end: float) -> Callable[[int], None]:
        return lambda pictures: tell(begin + (end - begin) * min(1.0, pictures / frames) if frames else 0.0)

    return of(0.0, share), of(share, 1.0)


def hop_of(video: VideoFacts) -> Fraction:
    """The time of one picture, on average; a usual one where that makes no sense."""
    return 1 / video.rate if video.rate and _SLOWEST <= video.rate <= _FASTEST else _USUAL_HOP


class _Ears:
    """Listens to the chosen tracks, all at once."""

    def __init__(self, settings: CutSettings, tracks: tuple[int, ...], hop: Fraction, *, peaks: bool) -> None:
        self._settings = settings
        self._tracks = tracks
        self.hop = hop
        self._peaks = peaks
        self._levels: list[LevelMeter] = []
        self._speech: list[SpeechMeter] = []

    def makers(self) -> dict[int, MakeEar]:
        """For each track what makes its ear."""
        return dict.fromkeys(self._tracks, self._make)

    def loud(self) -> Loud:
        """An answer for each hop."""
        if not self._settings.hears:
            return np.zeros(0, np.bool_)
        if self._settings.detector == DETECTOR_SPEECH:
            values = [meter.by_hop(self.hop) for meter in self._speech]
            return _loudest(values) >= self._settings.threshold
        return self._rms() >= self._settings.threshold

    def loudest(self) -> float:
        """The largest value that was compared with the threshold."""
        speech = self._settings.detector == DETECTOR_SPEECH
        values = _loudest([meter.by_hop(self.hop) for meter in self._speech]) if speech else self._rms()
        return float(values.max(initial=0))

    def wave(self) -> Wave | None:
        """For a picture."""
        if not self._levels or not self._peaks:
            return None
        return Wave(rms=self._rms(), peak=_loudest([meter.peak() for meter in self._levels]), hop=self.hop)

    def _rms(self) -> Levels:
        values = [meter.rms() for meter in self._levels]
        if self._settings.track == ANY:
            return _loudest(values)
        return np.sqrt(_added([value * value for value in values]))  # of sounds that have nothing to do with each other

    def _make(self, rate: int) -> Ear:
        speech = self._settings.hears and self._settings.detector == DETECTOR_SPEECH
        ears: list[Ear] = []
        if speech:
            self._speech.append(SpeechMeter(rate))
            ears.append(self._speech[-1])
        if not speech or self._peaks:
            self._levels.append(LevelMeter(rate, self.hop, peaks=self._peaks))
            ears.append(self._levels[-1])
        return _Both(ears) if len(ears) > 1 else ears[0]


class _Both:
    def __init__(self, ears: list[Ear]) -> None:
        self._ears = ears

    def take(self, position: int, samples: Samples) -> None:
        for ear in self._ears:
            ear.take(position, samples)


def _tracks(settings: CutSettings, inspection: Inspection, *, draw: bool) -> tuple[int, ...]:
    """Numbers from 0. Raises StepError: CUT_NO_AUDIO, STEP_INVALID."""
    sound = inspection.media.audio
    readable = tuple(number for number, track in enumerate(sound) if track.sample_rate)
    wanted = readable if settings.track in (MIX, ANY) else tuple({int(settings.track) - 1} & set(readable))
    if wanted or not settings.hears:
        return wanted if settings.hears or draw else ()
    if not readable:
        what = "has no sound" if not sound else f"has sound that cannot be decoded here ({sound[0].codec})"
        raise StepError(
            f"the film {what}, so there is no silence to find; use detector=motion, or say what to keep with cuts",
            code=ErrorCode.CUT_NO_AUDIO,
        )
    there = f"there are {len(sound)}" if len(sound) > 1 else "there is 1"
    message = f"the film has no sound track {settings.track} that can be decoded; {there}"
    raise StepError(message, violations=[Violation("cut_silence.track", message)])


def _nothing_left(settings: CutSettings, ears: _Ears, end: Fraction) -> StepError:
    why, way_out = "", "lower the threshold, or name a part that is always kept"
    if settings.cuts is not None:
        why = f": no part of the list holds a picture of it, and it lasts {float(end):.3f} s"
        way_out = "look at the times in cuts, they count from the first picture"
    elif settings.hears and (loudest := ears.loudest()) < settings.threshold:
        unit = "of the speech detector's" if settings.detector == DETECTOR_SPEECH else "of full scale"
        why = f": nothing reaches the threshold {settings.threshold:.4g} (the largest value is {loudest:.2g} {unit})"
        way_out = "lower the threshold"
    elif settings.hears:
        why, way_out = ": what is loud is cut, too", "look at always_cut, loud, minclip and margin"
    return StepError(f"all of the film would be cut{why}; {way_out}", code=ErrorCode.CUT_NOTHING_LEFT)


def _padded(values: list[Levels]) -> Levels:
    length = max((len(value) for value in values), default=0)
    rows = [np.pad(value, (0, length - len(value))) for value in values]
    return np.stack(rows) if rows else np.zeros((1, 0), np.float32)


def _loudest(values: list[Levels]) -> Levels:
    loudest: Levels = _padded(values).max(axis=0)
    return loudest


def _added(values: list[Levels]) -> Levels:
    added: Levels = _padded(values).sum(axis=0)
    return added


def _either(one: Loud, other: Loud) -> Loud:
    length = max(len(one), len(other))
    return np.pad(one, (0, length - len(one))) | np.pad(other, (0, length - len(other)))
