"""Exporting: proof first, files afterwards, all or nothing. Triton is a real one, started for each export."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from small_disk import SmallDisk, small_disk

from exporters import bicubic, engine, parity
from exporters.cli import main
from exporters.declaration import Handmade, Tolerance
from exporters.engine import differences, export, graph_of
from exporters.errors import ExportFailed
from exporters.models import MODELS
from exporters.workshop import workshop_beside
from framewire.errors import ErrorCode
from framewire.stack.settings import bundled_models

MODEL = next(model for model in MODELS if model.name == "upscale_bicubic_x2")
FILES = {"config.pbtxt", "configs/tensorrt.pbtxt", "card.json", "1/model.onnx"}


def handmade(**changes: object):
    return replace(MODEL, recipe=replace(MODEL.recipe, **changes))


WRONG = handmade(compute=lambda frames: 255 - bicubic.reference(frames))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty repository in a folder of its own: what is left beside it shows up."""
    return tmp_path / "models"


@pytest.fixture
def exported(repository: Path) -> Path:
    """A repository with the built-in model as the checkout has it."""
    shutil.copytree(bundled_models() / MODEL.name, repository / MODEL.name)
    return repository


@pytest.fixture
def own_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk for a repository."""
    with small_disk(tmp_path, megabytes=8) as disk:
        yield disk


def test_the_repository_holds_what_the_exporters_write() -> None:
    assert [path for model in MODELS for path in differences(model, bundled_models())] == []


def test_an_export_is_proven_on_triton_and_leaves_its_folder_and_nothing_else(repository: Path) -> None:
    found = export(MODEL, repository)
    assert found.onnxruntime.within(MODEL.tolerance)
    assert found.triton.within(MODEL.tolerance)
    assert found.triton.values > 100_000
    assert contents(repository.parent).keys() == {f"models/{MODEL.name}/{name}" for name in FILES}
    assert differences(MODEL, repository) == []


def test_the_card_says_where_it_comes_from_and_what_proves_it(exported: Path) -> None:
    card = json.loads((exported / MODEL.name / "card.json").read_text())
    assert (card["license"], card["source"]) == (MODEL.license, MODEL.source)
    assert card["graph"]["sha256"]
    assert card["parity"]["triton"]["levels"] <= card["parity"]["tolerance"]["levels"]
    assert card["memory"]["loaded"] > 0


def test_an_export_replaces_what_was_there_and_keeps_what_was_measured(exported: Path) -> None:
    folder = exported / MODEL.name
    (folder / "1" / "model.plan").touch()
    card = json.loads((folder / "card.json").read_text()) | {"quality": {"clip": 1}}
    (folder / "card.json").write_text(json.dumps(card))
    export(MODEL, exported)
    assert contents(folder).keys() == FILES
    assert json.loads((folder / "card.json").read_text())["quality"] == {"clip": 1}


def test_a_model_unlike_its_reference_is_not_written(repository: Path) -> None:
    with pytest.raises(ExportFailed, match="differs from its reference") as caught:
        export(WRONG, repository)
    assert caught.value.code is ErrorCode.MODEL_INVALID
    assert contents(repository.parent) == {}


def test_a_model_unlike_its_reference_leaves_the_one_that_is_there(exported: Path) -> None:
    before = contents(exported)
    with pytest.raises(ExportFailed):
        export(WRONG, exported)
    assert contents(exported) == before


def test_a_model_that_is_another_on_triton_is_not_written(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Liar:
        def run(self, model: str, feeds: dict) -> dict:
            results = parity.session(graph_of(MODEL))(feeds)
            return {name: 255 - array for name, array in results.items()}

    @contextmanager
    def serve(repository: Path, *models: str) -> Iterator[Liar]:
        yield Liar()

    monkeypatch.setattr(engine, "serve", serve)
    with pytest.raises(ExportFailed, match="on Triton: differs"):
        export(MODEL, repository)
    assert contents(repository.parent) == {}


def test_a_stop_in_the_middle_leaves_nothing(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def serve(workshop: Path, *models: str) -> Iterator[None]:
        assert (workshop / MODEL.name / "config.pbtxt").exists()
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(engine, "serve", serve)
    with pytest.raises(KeyboardInterrupt):
        export(MODEL, repository)
    assert list(repository.parent.iterdir()) == []


def test_a_result_of_another_size_is_not_written(repository: Path) -> None:
    with pytest.raises(ExportFailed, match="not 2 times that size"):
        export(handmade(compute=lambda frames: frames), repository)
    assert contents(repository.parent) == {}


def test_a_malformed_graph_is_not_written(repository: Path) -> None:
    with pytest.raises(ExportFailed):
        export(handmade(build=onnx.ModelProto), repository)
    assert contents(repository.parent) == {}


def test_a_folder_is_exchanged_in_one_step(tmp_path: Path) -> None:
    for name in ("fresh", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    engine.accept(tmp_path / "fresh", tmp_path / "target")
    assert contents(tmp_path).keys() == {"target/fresh"}


def test_a_folder_that_came_meanwhile_is_not_replaced_unasked(tmp_path: Path) -> None:
    for name in ("fresh", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    with pytest.raises(ExportFailed, match="meanwhile"):
        engine.accept(tmp_path / "fresh", tmp_path / "target", replace=False)
    assert contents(tmp_path / "target").keys() == {"target"}


def test_a_link_in_the_place_of_a_model_is_replaced_and_what_it_names_is_left(tmp_path: Path) -> None:
    for name in ("fresh", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    (tmp_path / "target").symlink_to("elsewhere")
    engine.accept(tmp_path / "fresh", tmp_path / "target")
    assert contents(tmp_path / "target").keys() == {"fresh"}
    assert contents(tmp_path / "elsewhere").keys() == {"elsewhere"}


def test_a_full_disk_is_told_and_leaves_nothing(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path, files: dict[str, bytes]) -> None:
        folder.mkdir(parents=True)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "1/model.onnx")

    monkeypatch.setattr(engine, "write_files", full)
    with pytest.raises(ExportFailed, match="No space left on device") as caught:
        export(MODEL, repository)
    assert caught.value.code is ErrorCode.FILE_UNWRITABLE
    assert contents(repository.parent) == {}


def test_a_repository_that_is_a_disk_of_its_own_takes_models(own_disk: SmallDisk, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "exporters", MODEL.name, "--repository", str(own_disk.folder)]
    done = subprocess.run(own_disk.inside(command), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(own_disk.inside(["ls", "-A", str(own_disk.folder)]), capture_output=True, check=True)
    assert listed.stdout.split() == [MODEL.name.encode()]


def test_what_a_killed_export_left_is_removed_by_the_next_and_what_runs_is_left(tmp_path: Path) -> None:
    with workshop_beside(tmp_path / "models") as running:
        dead = tmp_path / ".framewire-export-dead"
        (dead / "model" / "1").mkdir(parents=True)
        for folder in (running, dead):
            os.utime(folder, (0, 0))
        with workshop_beside(tmp_path / "models") as another:
            assert set(tmp_path.iterdir()) == {running, another}
    assert list(tmp_path.iterdir()) == []


def test_building_twice_gives_the_same_bytes() -> None:
    assert graph_of(MODEL) == graph_of(MODEL)


@pytest.mark.parametrize("path", sorted(FILES))
def test_a_changed_or_missing_file_fails_the_check(exported: Path, path: str, capsys: pytest.CaptureFixture) -> None:
    arguments = ["--check", "--repository", str(exported), MODEL.name]
    assert main(arguments) == 0
    (exported / MODEL.name / path).write_bytes(b"other")
    assert main(arguments) == 1
    (exported / MODEL.name / path).unlink()
    assert main(arguments) == 1
    assert path in capsys.readouterr().err


def test_a_surplus_file_fails_the_check(exported: Path) -> None:
    (exported / MODEL.name / "2").mkdir()
    (exported / MODEL.name / "2" / "model.onnx").touch()
    assert main(["--check", "--repository", str(exported), MODEL.name]) == 1


def test_a_changed_declaration_fails_the_check(exported: Path) -> None:
    assert differences(replace(MODEL, license="MIT"), exported) != []


def test_a_changed_graph_fails_the_check_though_its_hash_is_in_the_card(exported: Path) -> None:
    other = Handmade(
        architecture="bicubic",
        build=lambda: onnx.compose.add_prefix(bicubic.build(), "other_", rename_inputs=False, rename_outputs=False),
        compute=bicubic.reference,
    )
    assert differences(replace(MODEL, recipe=other), exported) == [f"{MODEL.name}/1/model.onnx"]


def test_a_tolerance_that_nothing_keeps_refuses_everything(repository: Path) -> None:
    with pytest.raises(ExportFailed, match="differs"):
        export(replace(MODEL, tolerance=Tolerance(levels=0, exact=1.0)), repository)


def test_the_list_names_every_model_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--list", "--repository", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert all(model.name in out for model in MODELS)
    assert contents(tmp_path) == {}


def test_a_model_that_is_not_built_in_is_a_usage_error(capsys: pytest.CaptureFixture) -> None:
    assert main(["no_such_model"]) == 2
    assert "no_such_model" in capsys.readouterr().err
