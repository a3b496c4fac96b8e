"""`--export FORMAT=FILE` of `framewire estimate`."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from framewire.cli.exports import Export, check_exports, export_option, write_exports
from framewire.cli.main import run
from framewire.edits.edit_list import EditList, Span
from framewire.edits.wire import cut_list_to_proto
from framewire.errors import LocalError
from framewire.v1.asset_pb2 import MediaInfo, VideoInfo
from framewire.v1.job_pb2 import CutEstimate, EstimateJobResponse, StepEstimate


def answer() -> EstimateJobResponse:
    """A film of 4 s at 25 frames a second whose second second is kept."""
    cuts = cut_list_to_proto(EditList([Span(start=1, end=2)]))  # type: ignore[arg-type]  # whole numbers are exact, too
    media = MediaInfo(duration=4, video=VideoInfo(width=64, height=48, fps=25))
    return EstimateJobResponse(input=media, steps=[StepEstimate(cut=CutEstimate(cuts=cuts))])


def test_an_export_names_the_clip_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "list.json"
    write_exports([Export(name="auto-editor", path=target)], answer(), Path("talk.mp4"))
    written = json.loads(target.read_text())
    assert written["source"] == str(tmp_path / "talk.mp4")
    assert written["chunks"] == [[0, 25, 99999.0], [25, 50, 1.0], [50, 100, 99999.0]]


def test_several_exports_are_written(tmp_path: Path) -> None:
    wanted = [Export(name=name, path=tmp_path / name) for name in ("edl", "otio", "webvtt")]
    write_exports(wanted, answer(), tmp_path / "talk.mp4")
    assert all(each.path.stat().st_size > 50 for each in wanted)


def test_an_export_never_goes_over_the_clip(tmp_path: Path) -> None:
    clip = tmp_path / "talk.mp4"
    clip.write_bytes(b"x")
    with pytest.raises(LocalError, match="is the input"):
        check_exports([Export(name="edl", path=clip)], clip)


def test_there_is_nothing_to_export_without_a_step_that_cuts(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="no cut_silence among the steps"):
        write_exports([Export(name="edl", path=tmp_path / "list.edl")], EstimateJobResponse(), tmp_path / "talk.mp4")


@pytest.mark.parametrize("text", ["edl", "avid=list.avb", "edl="])
def test_a_format_that_is_not_there_or_a_missing_file_is_wrong_usage(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["estimate", "talk.mp4", "--step", "cut_silence", "--export", text]) == 2
    assert "FORMAT=FILE" in capsys.readouterr().err


def test_the_option_says_which_formats_there_are() -> None:
    option = export_option(click.command()(lambda **_: None))
    assert "auto-editor, edl, fcpxml, otio" in str(option.params[0].help)  # type: ignore[attr-defined]  # it is an option
