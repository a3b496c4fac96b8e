"""Orders with cut_silence and other steps, executed in the test's own process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from jobs import enhance, server_with
from numbered_clips import Numbered, Track, beeps, make_numbered, watch
from talking_clips import Talk, make_talk

from coordinator.inference.interface import InferenceServer
from coordinator.job import Job
from framewire.edits.edit_list import EditList, Span
from framewire.edits.wire import cut_list_to_proto
from framewire.v1.job_pb2 import VIDEO_CODEC_H264, OutputSettings
from framewire.v1.step_pb2 import CutSilence, Step
from framewire.work.v1.work_pb2 import RunnerOrder, RunnerReport, StoredSegment

KEPT = EditList([Span(start=Fraction(1), end=Fraction(2)), Span(start=Fraction(3), end=Fraction(19, 5))])
FILM = Numbered(frames=100)


def cut(edits: EditList = KEPT) -> list[Step]:
    return [Step(cut_silence=CutSilence(cuts=cut_list_to_proto(edits)))]


def execute(
    source: Path,
    target: Path,
    steps: Sequence[Step],
    *,
    server: InferenceServer | None = None,
    output: OutputSettings | None = None,
    resume: Sequence[StoredSegment] = (),
) -> list[RunnerReport]:
    """What the job reported. Without a server none may be asked for."""
    sent: list[RunnerReport] = []
    order = RunnerOrder(
        input_path=str(source), output_path=str(target), steps=steps, output=output or OutputSettings(), resume=resume
    )
    if server is not None:
        order.inference.url = "127.0.0.1:1"
    Job(order, sent.append, lambda address: server if address.url else None).execute()
    assert sent[-1].HasField("done"), sent[-1]
    return sent


@pytest.mark.parametrize("first", [True, False])
def test_a_cut_goes_with_frame_steps_in_any_order(tmp_path: Path, first: bool) -> None:
    source, server = make_numbered(tmp_path / "in.mp4", FILM), server_with(2)
    steps = [*cut(), *enhance("x2")] if first else [*enhance("x2"), *cut()]
    sent = execute(source, tmp_path / "out.mp4", steps, server=server)
    assert watch(tmp_path / "out.mp4").numbers == [*range(25, 50), *range(75, 95)]
    done = sent[-1].done
    assert (done.media.video.width, done.media.video.frames) == (128, 45)
    assert done.fidelity.edit.frames_expected == 45 == done.fidelity.frames_out
    assert done.fidelity.av_drift_ms < 0.1
    assert all(tag.kept for tag in done.fidelity.tags if tag.name == "time stamps")
    progress = [report.progress for report in sent if report.HasField("progress")]
    assert progress[-1].frames_total == 45 == max(each.frames_total for each in progress if each.frames_done)


def test_a_cut_that_has_to_be_encoded_needs_no_model_server(tmp_path: Path) -> None:
    source = make_numbered(tmp_path / "in.mp4", FILM)
    sent = execute(source, tmp_path / "out.mp4", cut(), output=OutputSettings(codec=VIDEO_CODEC_H264, crf=0))
    assert watch(tmp_path / "out.mp4").numbers == [*range(25, 50), *range(75, 95)]
    fidelity = sent[-1].done.fidelity
    assert not fidelity.HasField("cut")
    assert fidelity.audio[0].edited == "cut, encoded again (aac)"
    assert sent[-1].done.thumbnail_path


def test_frames_of_the_input_are_counted_alike_however_it_is_cut(tmp_path: Path) -> None:
    source = make_talk(tmp_path / "in.mp4", Talk(seconds=4, words=((1, 3),)))
    copied, encoded = (
        execute(source, tmp_path / "out.mp4", [Step(cut_silence=CutSilence(cuts=cut_list_to_proto(KEPT), smart=smart))])
        for smart in (True, False)
    )
    told = [sent[-1].done.fidelity for sent in (copied, encoded)]
    assert [each.HasField("cut") for each in told] == [True, False]
    assert [(each.frames_in, each.frames_out) for each in told] == [(100, 45), (100, 45)]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"volume": 0.5}, "quieter or louder"), ({"speed": 2}, "another speed"), ({"speed": 0.5}, "another speed")],
)
def test_what_was_done_to_sound_is_told_as_it_was(tmp_path: Path, change: dict[str, float], words: str) -> None:
    source, steps = make_talk(tmp_path / "in.mp4", Talk(seconds=4, words=((1, 3),))), cut()
    for name, value in change.items():
        setattr(steps[0].cut_silence.cuts.spans[0], name, value)
    fidelity = execute(source, tmp_path / "out.mp4", steps)[-1].done.fidelity
    assert words in fidelity.audio[0].edited
    assert ["the whole film was encoded again: parts of it run at another speed"] * ("speed" in change) == [
        *fidelity.remarks
    ]


def test_what_is_silent_is_found_cut_and_played_faster(tmp_path: Path) -> None:
    film = replace(FILM, frames=200, tracks=(Track(sound=beeps([1.0, 6.0], seconds=1.0)),))
    source = make_numbered(tmp_path / "in.mp4", film)
    gone = [Step(cut_silence=CutSilence(margin="0.2s", smart=False))]
    execute(source, tmp_path / "gone.mp4", gone)
    assert watch(tmp_path / "gone.mp4").numbers == pytest.approx([*range(20, 55), *range(145, 180)], abs=2)
    fast = [Step(cut_silence=CutSilence(margin="0.2s", silent="speed:4"))]
    execute(source, tmp_path / "fast.mp4", fast)
    assert len(watch(tmp_path / "fast.mp4").numbers) == pytest.approx(70 + 130 / 4, abs=3)


def test_units_of_another_list_are_not_taken_up(tmp_path: Path) -> None:
    source, settings = make_numbered(tmp_path / "in.mp4", FILM), OutputSettings(crf=30)
    units = [
        each.segment for each in execute(source, tmp_path / "a.mp4", cut(), output=settings) if each.HasField("segment")
    ]
    again = execute(source, tmp_path / "a.mp4", cut(), output=settings, resume=units)
    assert not [each for each in again if each.HasField("segment")]
    other = EditList([Span(start=Fraction(1), end=Fraction(3))])
    anew = execute(source, tmp_path / "a.mp4", cut(other), output=settings, resume=units)
    assert [each for each in anew if each.HasField("segment")]
    assert watch(tmp_path / "a.mp4").numbers == [*range(25, 75)]
