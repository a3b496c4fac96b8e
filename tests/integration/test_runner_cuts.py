"""Jobs that only cut, in a runner's own process and without any model server."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, Sound, make_clip
from cut_films import FILM, assert_cut, closed_gops
from real_runner import execute

from framewire.edits.edit_list import EditList, Span
from framewire.edits.wire import cut_list_to_proto
from framewire.v1.job_pb2 import CONTAINER_WEBM, FidelityReport, OutputSettings
from framewire.v1.step_pb2 import CutSilence, Step
from framewire.work.v1.work_pb2 import RunnerOrder, RunnerReport

RANGES = [(3, 27), (44, 60)]
TWO_PARTS = EditList(Span(start=Fraction(first, 25), end=Fraction(end, 25)) for first, end in RANGES)


def cut(source: Path, step: CutSilence, **more: object) -> list[RunnerReport]:
    """The reports of a job with this one step; its result is `out.mp4` beside the source."""
    order = RunnerOrder(
        job_id="job_1", attempt=1, steps=[Step(cut_silence=step)], input_path=str(source),
        output_path=str(source.with_name("out.mp4")), segments_path=str(source.with_name("segments")), **more,
    )  # fmt: skip
    return execute(order)


def fidelity(reports: list[RunnerReport]) -> FidelityReport:
    assert reports[-1].WhichOneof("kind") == "done", reports[-1]
    return reports[-1].done.fidelity


def test_a_film_is_cut_by_copying_and_needs_no_model_server(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", FILM)
    reports = cut(source, CutSilence(cuts=cut_list_to_proto(TWO_PARTS)))
    told = fidelity(reports)
    assert (told.frames_in, told.frames_out) == (60, 40)
    assert told.cut.packets_copied + told.cut.frames_encoded == 40
    assert told.cut.packets_copied >= 25
    assert told.cut.joins == 1
    assert told.cut.sound_packets_copied > 70
    assert told.av_drift_ms == told.cut.largest_offset_ms <= 20
    assert not told.remarks
    assert_cut(source, tmp_path / "out.mp4", RANGES, copied=told.cut.packets_copied)
    assert Path(reports[-1].done.thumbnail_path).read_bytes()[:2] == b"\xff\xd8"
    progress = [report.progress for report in reports if report.HasField("progress")]
    assert (progress[-1].fraction, progress[-1].frames_done, progress[-1].stage) == (1.0, 40, "process")


def test_what_a_film_says_of_itself_is_kept(tmp_path: Path) -> None:
    clip = replace(
        FILM,
        rotation=90,
        sample_aspect_ratio=Fraction(4, 3),
        colorspace=1,
        sounds=(Sound(), Sound(layout="mono", language="deu")),
        metadata=(("title", "A talk"),),
        chapters=3,
    )
    told = fidelity(cut(make_clip(tmp_path / "in.mp4", clip), CutSilence(cuts=cut_list_to_proto(TWO_PARTS))))
    assert told.cut.packets_copied >= 25
    assert {"rotation", "sample aspect ratio", "chapters", "audio 2 language", "time stamps"} <= {
        tag.name for tag in told.tags
    }
    assert [tag for tag in told.tags if not tag.kept] == []


def test_silence_is_found_and_cut(tmp_path: Path) -> None:
    # 3 s of 25 pictures a second; sound in the second of the three only
    source = _quiet_film(tmp_path)
    told = fidelity(cut(source, CutSilence(margin="0.2s")))
    assert told.cut.packets_copied > 0
    assert told.duration_out == pytest.approx(1.4, abs=0.09)


@pytest.mark.parametrize(
    ("name", "clip", "why"),
    [
        ("open.mp4", Clip(frames=60, options=closed_gops(open_gop="1")), "open"),
        ("in.avi", Clip(frames=60, codec="mpeg4", options=(), sounds=(Sound(codec="mp3"),)), "H.264"),
    ],
)
def test_what_cannot_be_copied_is_encoded_again_and_the_report_says_why(
    tmp_path: Path, name: str, clip: Clip, why: str
) -> None:
    source = make_clip(tmp_path / name, clip)
    reports = cut(source, CutSilence(cuts=cut_list_to_proto(TWO_PARTS)))
    told = fidelity(reports)
    assert told.frames_out == 40
    assert not told.HasField("cut")
    [remark] = [remark for remark in told.remarks if "encoded again" in remark]
    assert why in remark
    assert remark in [report.log.text for report in reports if report.HasField("log")]


@pytest.mark.parametrize(
    ("step", "output"),
    [
        (CutSilence(smart=False), OutputSettings()),
        (CutSilence(), OutputSettings(crf=30)),
        (CutSilence(), OutputSettings(container=CONTAINER_WEBM)),
    ],
)
def test_who_asks_for_an_encoding_gets_one(tmp_path: Path, step: CutSilence, output: OutputSettings) -> None:
    source = make_clip(tmp_path / "in.mp4", replace(FILM, sounds=()))
    step.cuts.CopyFrom(cut_list_to_proto(TWO_PARTS))
    told = fidelity(cut(source, step, output=output))
    assert told.frames_out == 40
    assert not told.HasField("cut")


@pytest.mark.parametrize(
    ("output", "code"),
    [(OutputSettings(max_size_bytes=2_000), "OUTPUT_TOO_LARGE"), (OutputSettings(max_duration=0.5), "OUTPUT_TOO_LONG")],
)
def test_a_cut_keeps_to_the_orders_bounds(tmp_path: Path, output: OutputSettings, code: str) -> None:
    source = make_clip(tmp_path / "in.mp4", FILM)
    reports = cut(source, CutSilence(cuts=cut_list_to_proto(TWO_PARTS)), output=output)
    assert reports[-1].failed.error.code == code
    assert not (tmp_path / "out.mp4").exists()


def _quiet_film(folder: Path) -> Path:
    silent = make_clip(folder / "pictures.mp4", Clip(frames=75, sounds=(), options=closed_gops()))
    path, rate = folder / "in.mp4", 48_000
    tone = np.sin(np.arange(3 * rate) / 20).astype(np.float32) * 0.5
    tone[:rate], tone[2 * rate :] = 0, 0
    with av.open(str(silent)) as film, av.open(str(path), "w") as output:
        video = output.add_stream_from_template(film.streams.video[0], opaque=True)
        sound = output.add_stream("aac", rate=rate)
        sound.codec_context.layout = "mono"
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)
        for start in range(0, len(tone) - 1024, 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    return path
