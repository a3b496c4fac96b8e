"""How well a result follows an edit list: its pictures' times beside those that the list gives the input's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from coordinator.media.retiming import Retiming
from coordinator.media.sound.render import RenderedSound
from coordinator.media.timeline import Stamp
from framewire.edits.edit_list import EditList
from framewire.v1.job_pb2 import AudioFidelity, EditFidelity, TagFidelity


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """A picture that is kept."""

    span: int
    moment: Fraction
    """When it is shown in the film, in seconds from its first picture."""
    shown: Fraction
    """When it is to be shown in the result."""


class EditComparison:
    """Compares one film with what was made of it."""

    def __init__(self, retiming: Retiming, film: Iterable[Stamp], result: Sequence[int], unit: Fraction) -> None:
        """`film`: every picture's stamp, `result`: when each picture is shown in the result, in `unit` seconds; both in
        the order of showing."""
        self.report = EditFidelity(joins=max(0, len(retiming.edits.spans) - 1))
        """What was found."""
        self._retiming = retiming
        self._found, self._unit = len(result), unit
        self._compare(film, result)

    def timing(self) -> TagFidelity:
        """Whether every kept picture is there once, in order, at its time: to the rounding of time bases."""
        report = self.report
        before, after = f"{report.frames_expected} frames kept", f"{self._found} frames"
        if report.frames_expected != self._found:
            return TagFidelity(name="time stamps", before=before, after=after, kept=False)
        kept = report.largest_error_ms <= self._rounding_ms
        words = f"off by at most {report.largest_error_ms:.3f} ms" if not kept else "as the list of what is kept says"
        return TagFidelity(name="time stamps", before=before, after=words, kept=kept)

    @property
    def _rounding_ms(self) -> float:
        """Either file's way to count time may move a picture by one of its units."""
        return float(self._retiming.facts.time_base + self._unit) * 1000

    def _compare(self, film: Iterable[Stamp], result: Sequence[int]) -> None:
        report, span = self.report, -1
        for number, expected in enumerate(self._expected(film)):
            report.frames_expected += 1
            if number >= len(result):
                continue
            found = result[number] * self._unit
            error = abs(found - expected.shown)
            report.largest_error_ms = max(report.largest_error_ms, float(error) * 1000)
            if expected.span != span:
                span = expected.span
                offset = abs(self._heard(span, found) - expected.moment)
                report.largest_offset_ms = max(report.largest_offset_ms, float(offset) * 1000)

    def _heard(self, number: int, shown: Fraction) -> Fraction:
        """The moment of the film whose sound is heard in the result at this time."""
        span = self._retiming.edits.spans[number]
        return span.start + (shown - self._retiming.starts[number]) * span.speed

    def _expected(self, film: Iterable[Stamp]) -> Iterator[_Expected]:
        timing, before, base = self._retiming, None, self._retiming.facts.time_base
        for stamp in film:
            shown, span = timing.stamp(stamp, before), timing.span(stamp)
            before = stamp
            if shown is not None and span is not None:
                yield _Expected(span=span, moment=timing.moment(stamp), shown=shown.pts * base)
            elif span is not None:
                self.report.frames_surplus += 1
            else:
                self.report.frames_cut += 1


def describe_edit(report: AudioFidelity, edits: EditList, sound: RenderedSound | None) -> None:
    """Say what was done to a track on purpose. `sound`: what was rendered; None when packets were copied."""
    done = "cut" if all(span.speed == 1 for span in edits.spans) else "cut and run at another speed"
    if sound is None:
        report.edited = f"{done} between packets, which are the input's"
        return
    report.edited = f"{done}, encoded again ({sound.encoding.codec})"
    report.samples_out, report.samples_expected = sound.samples, sound.expected
