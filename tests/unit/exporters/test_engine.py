"""Exporting: proof first, files afterwards, all or nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from exporters import bicubic
from exporters.__main__ import REPOSITORY, main
from exporters.engine import ExportFailed, differences, export, files_of
from exporters.models import MODELS

MODEL = MODELS[0]
WRONG = replace(MODEL, reference=lambda frames: 255 - bicubic.reference(frames))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_repository_holds_what_the_exporters_write(model) -> None:
    assert differences(model, REPOSITORY) == []


def test_an_export_writes_config_and_graph_and_nothing_else(tmp_path: Path) -> None:
    export(MODEL, tmp_path)
    assert contents(tmp_path).keys() == {f"{MODEL.name}/config.pbtxt", f"{MODEL.name}/1/model.onnx"}


def test_an_export_replaces_what_was_there(tmp_path: Path) -> None:
    surplus = tmp_path / MODEL.name / "1" / "model.plan"
    surplus.parent.mkdir(parents=True)
    surplus.touch()
    export(MODEL, tmp_path)
    assert not surplus.exists()
    assert differences(MODEL, tmp_path) == []


def test_a_model_unlike_its_reference_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="differs from its reference"):
        export(WRONG, tmp_path)
    assert contents(tmp_path) == {}


def test_a_model_unlike_its_reference_leaves_the_one_that_is_there(tmp_path: Path) -> None:
    export(MODEL, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ExportFailed):
        export(WRONG, tmp_path)
    assert contents(tmp_path) == before


def test_a_result_of_another_size_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="gives"):
        export(replace(MODEL, reference=lambda frames: frames), tmp_path)
    assert contents(tmp_path) == {}


def test_a_malformed_graph_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed):
        export(replace(MODEL, build=onnx.ModelProto), tmp_path)
    assert contents(tmp_path) == {}


def test_building_twice_gives_the_same_bytes() -> None:
    assert files_of(MODEL) == files_of(MODEL)


@pytest.mark.parametrize("path", ["config.pbtxt", "1/model.onnx"])
def test_a_changed_or_missing_file_fails_the_check(tmp_path: Path, path: str, capsys: pytest.CaptureFixture) -> None:
    arguments = ["--check", "--repository", str(tmp_path)]
    export(MODEL, tmp_path)
    assert main(arguments) == 0
    (tmp_path / MODEL.name / path).write_bytes(b"other")
    assert main(arguments) == 1
    (tmp_path / MODEL.name / path).unlink()
    assert main(arguments) == 1
    assert path in capsys.readouterr().err


def test_a_surplus_file_fails_the_check(tmp_path: Path) -> None:
    export(MODEL, tmp_path)
    (tmp_path / MODEL.name / "2").mkdir()
    (tmp_path / MODEL.name / "2" / "model.onnx").touch()
    assert main(["--check", "--repository", str(tmp_path)]) == 1


def test_the_list_names_every_model_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--list", "--repository", str(tmp_path)]) == 0
    assert all(model.name in capsys.readouterr().out for model in MODELS)
    assert contents(tmp_path) == {}


def test_a_model_that_is_not_built_in_is_a_usage_error(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["no_such_model"])
    assert caught.value.code == 2
    assert "no_such_model" in capsys.readouterr().err
