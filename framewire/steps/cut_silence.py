"""The parameters of `cut_silence`, read from the texts they are written in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeVar

from framewire.edits.decide import CUT, KEEP, Action, Range, Rules
from framewire.edits.edit_list import WHOLE, EditList
from framewire.edits.wire import cut_list_from_proto
from framewire.errors import StepError, Violation
from framewire.v1.step_pb2 import DETECTOR_LEVEL, DETECTOR_MOTION, DETECTOR_SPEECH, CutSilence, Detector, Step

DEFAULTS: Final[Mapping[str, str]] = {
    "detector": "level",
    "threshold": "0.04",
    "margin": "0.2s",
    "mincut": "0.2s",
    "minclip": "0.1s",
    "track": "mix",
    "motion": "0",
    "silent": "cut",
    "loud": "keep",
    "fade": "5ms",
    "smart": "true",
}
"""Parameter -> what is used when it is not given; those of auto-editor where it has the same."""
_LENGTH = "must be a length of time such as 0.2s or 200ms"
_ACTION = "must be cut, keep, speed:4, volume:0.5 or speed:4+volume:0.5"
_RANGES = "takes ranges such as 5-10.5+1:30-, in seconds or [hours:]minutes:seconds"
HOW_WRITTEN: Final[Mapping[str, str]] = {
    "threshold": "must be a ratio from 0 to 1, 0% to 100%, or decibels below full scale: 0.04, 4%, -28dB",
    "margin": f"{_LENGTH}, or two of them: 0.2s,0.3s",
    "mincut": _LENGTH,
    "minclip": _LENGTH,
    "fade": _LENGTH,
    "track": "must be mix, any, or a track's number from 1",
    "silent": _ACTION,
    "loud": _ACTION,
    "always_keep": _RANGES,
    "always_cut": _RANGES,
}
"""Parameter -> how it is written, for people: the contract says it as a regular expression."""
THRESHOLDS: Final[Mapping[Detector.ValueType, str]] = {
    DETECTOR_LEVEL: DEFAULTS["threshold"],
    DETECTOR_SPEECH: "0.5",
    DETECTOR_MOTION: "0.002",
}
MIX, ANY = "mix", "any"
_LONGEST_FADE = Fraction(1)
_LEAST_SPEED, _MOST = Fraction(1, 10), Fraction(100)
_CLOCK = re.compile(r"(?:(?:(?P<hours>\d+):)?(?P<minutes>\d{1,4}):)?(?P<seconds>\d+(?:\.\d{1,9})?|\.\d{1,9})")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class CutSettings:
    """A CutSilence with every text read and every default filled in."""

    detector: Detector.ValueType
    threshold: float
    """From which value a moment is loud, as a ratio."""
    track: str
    """`mix`, `any` or a number from 1."""
    motion: float
    """0: the picture is not looked at."""
    rules: Rules
    fade: Fraction
    """Seconds."""
    smart: bool
    cuts: EditList | None
    """What is kept, when that is decided already; not at boundaries of pictures yet."""

    @property
    def hears(self) -> bool:
        """Sound is listened to."""
        return self.cuts is None and self.detector != DETECTOR_MOTION

    @property
    def looks(self) -> bool:
        """Pictures are looked at."""
        return self.cuts is None and (self.detector == DETECTOR_MOTION or self.motion > 0)


def read_cut_settings(step: CutSilence, *, path: str = "cut_silence") -> CutSettings:
    """What the step's texts mean. `path` is the step's place in the request.

    Raises StepError (STEP_INVALID) with a violation for each parameter that cannot be read.
    """
    return _Reader(step, path).settings()


def check_cuts(steps: Sequence[Step]) -> None:
    """Raise StepError (STEP_INVALID) for a `cut_silence` that cannot be done, or for a second one."""
    places = [index for index, step in enumerate(steps) if step.HasField("cut_silence")]
    for index in places:
        read_cut_settings(steps[index].cut_silence, path=f"steps[{index}].cut_silence")
    if len(places) > 1:
        message = "a film is cut once; put what is to be cut into one step"
        raise StepError(message, violations=[Violation(f"steps[{places[1]}].cut_silence", message)])


class _Reader:
    """Reads every parameter, and collects what is wrong."""

    def __init__(self, step: CutSilence, path: str) -> None:
        self._step = step
        self._path = path
        self._violations: list[Violation] = []

    def settings(self) -> CutSettings:
        detector = self._step.detector or DETECTOR_LEVEL
        settings = CutSettings(
            detector=detector,
            threshold=self._read("threshold", read_ratio, default=THRESHOLDS[detector]),
            track=self._step.track or DEFAULTS["track"],
            motion=self._step.motion,
            rules=self._rules(),
            fade=self._read("fade", _fade),
            smart=self._step.smart if self._step.HasField("smart") else True,
            cuts=self._cuts(),
        )
        if self._violations:
            words = "; ".join(f"{each.field} {each.description}" for each in self._violations)
            raise StepError(words, violations=self._violations)
        return settings

    def _rules(self) -> Rules:
        before, behind = self._read("margin", read_margin)
        rules = Rules(
            before=before,
            behind=behind,
            mincut=self._read("mincut", read_length),
            minclip=self._read("minclip", read_length),
            silent=self._read("silent", read_action),
            loud=self._read("loud", read_action),
            always_keep=self._read("always_keep", read_ranges),
            always_cut=self._read("always_cut", read_ranges),
        )
        if rules.silent.cut and rules.loud.cut and not rules.always_keep and not self._step.HasField("cuts"):
            self._violations.append(Violation(f"{self._path}.loud", "cuts all that `silent` does not cut"))
        return rules

    def _read(self, name: str, read: Callable[[str], _Value], *, default: str | None = None) -> _Value:
        usual = DEFAULTS.get(name, "") if default is None else default
        try:
            return read(getattr(self._step, name) or usual)
        except ValueError as error:
            self._violations.append(Violation(f"{self._path}.{name}", str(error)))
            return read(usual)

    def _cuts(self) -> EditList | None:
        if not self._step.HasField("cuts"):
            return None
        try:
            return cut_list_from_proto(self._step.cuts, path=f"{self._path}.cuts")
        except StepError as error:
            self._violations += error.violations
            return None


def read_ratio(text: str) -> float:
    """`0.04`, `4%` or `-28dB` as a ratio. Raises ValueError."""
    if text.endswith("dB"):
        return float(10 ** (_number(text[:-2]) / 20))
    ratio = _number(text[:-1]) / 100 if text.endswith("%") else _number(text)
    if not 0 <= ratio <= 1:
        raise ValueError(f"must be from 0 to 1, 0% to 100% or at most 0dB, not {text!r}")
    return float(ratio)


def read_length(text: str) -> Fraction:
    """`0.2s` or `200ms` in seconds. Raises ValueError."""
    if text.endswith("ms"):
        return _number(text[:-2]) / 1000
    if text.endswith("s"):
        return _number(text[:-1])
    raise ValueError(f"{_LENGTH}, not {text!r}")


def read_margin(text: str) -> tuple[Fraction, Fraction]:
    """`0.2s` or `0.2s,0.3s`: before and behind. Raises ValueError."""
    before, comma, behind = text.partition(",")
    return read_length(before), read_length(behind if comma else before)


def read_action(text: str) -> Action:
    """`cut`, `keep`, `speed:4`, `volume:0.5` or `speed:4+volume:0.5`. Raises ValueError."""
    if text in ("cut", "keep"):
        return CUT if text == "cut" else KEEP
    values: dict[str, Fraction] = {}
    for part in text.split("+"):
        name, colon, number = part.partition(":")
        if not colon or name not in ("speed", "volume") or name in values:
            raise ValueError(f"{_ACTION}, not {text!r}")
        values[name] = _number(number)
    action = Action(speed=values.get("speed", WHOLE), volume=values.get("volume", WHOLE))
    if not _LEAST_SPEED <= action.speed <= _MOST or action.volume > _MOST:
        raise ValueError(f"takes a speed from 0.1 to 100 and a volume up to 100, not {text!r}")
    return action


def read_ranges(text: str) -> tuple[Range, ...]:
    """`0-5.5+1:02:30-1:02:45+90:00-`; none for an empty text. Raises ValueError."""
    return tuple(_range(part) for part in text.split("+")) if text else ()


def _range(text: str) -> Range:
    start, dash, end = text.partition("-")
    found = Range(start=read_clock(start), end=read_clock(end) if end else None)
    if not dash or (found.end is not None and found.end <= found.start):
        raise ValueError(f"{_RANGES}; not {text!r}")
    return found


def read_clock(text: str) -> Fraction:
    """`90`, `90.5`, `1:30`, `1:02:30.25` in seconds. Raises ValueError."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise ValueError(f"takes times such as 90.5 or 1:02:30, not {text!r}")
    return int(found["hours"] or 0) * 3600 + int(found["minutes"] or 0) * 60 + Fraction(found["seconds"])


def _fade(text: str) -> Fraction:
    length = read_length(text)
    if length > _LONGEST_FADE:
        raise ValueError(f"can be 1s at most, not {text!r}")
    return length


def _number(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{text!r} is not a number") from None
