"""Reading a model's folder back: what was written, and every way it can be wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from exporters.card import read_card, save_card
from exporters.cli import main
from exporters.declaration import Precision
from exporters.engine import GRAPH
from exporters.errors import ExportFailed
from exporters.folder import find_model, read_folder
from exporters.models import MODELS
from exporters.tensorrt import EngineName, plan_config
from framewire.errors import ErrorCode
from framewire.stack.settings import bundled_models

MODEL = next(model for model in MODELS if model.name == "upscale_bicubic_x2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a good model, alone in its repository."""
    return Path(shutil.copytree(bundled_models() / MODEL.name, tmp_path / "models" / MODEL.name))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_what_was_exported_is_read_back(model) -> None:
    read, card = read_folder(bundled_models() / model.name)
    assert card["name"] == model.name
    for field in ("name", "kind", "scale", "size_multiple", "max_batch", "license", "source", "description", "state"):
        assert getattr(read, field) == getattr(model, field)


@pytest.mark.parametrize(
    ("wrong", "right", "match"),
    [
        ('key: "scale"', 'key: "scalf"', "'scale' is missing"),
        ('string_value: "2"', 'string_value: "0"', "scale is '0'"),
        ('key: "license"', 'key: "licence"', "'license' is missing"),
        ('name: "upscale_bicubic_x2"', 'name: "other"', "that of a model 'other'"),
        ('backend: "onnxruntime"', 'backend: "pytorch"', "'pytorch'"),
        ("dims: [ -1, -1, 3 ]", "dims: [ -1, -1, 4 ]", "contract is wrong"),
        ('"FRAMES_IN"', '"FRAMES"', "FRAMES.shape"),
        ("max_batch_size: 8", "max_batch_size: eight", "not what Triton reads"),
        ('"bytes_per_pixel" value: { string_value: "', '"bytes_per_pixel" value: { string_value: "x', "is wrong: .*x"),
    ],
)
def test_a_wrong_contract_is_named(folder: Path, wrong: str, right: str, match: str) -> None:
    text = (folder / "config.pbtxt").read_text()
    assert wrong in text
    (folder / "config.pbtxt").write_text(text.replace(wrong, right))
    with pytest.raises(ExportFailed, match=match):
        read_folder(folder)


def test_a_graph_that_is_missing_broken_or_another_is_named(folder: Path) -> None:
    graph = onnx.load(folder / GRAPH)
    graph.graph.input[0].name = "other"
    (folder / GRAPH).write_bytes(graph.SerializeToString())
    with pytest.raises(ExportFailed, match="has the tensors"):
        read_folder(folder)
    (folder / GRAPH).write_bytes(b"\xff no graph")
    with pytest.raises(ExportFailed, match="is broken"):
        read_folder(folder)
    (folder / GRAPH).unlink()
    with pytest.raises(ExportFailed, match=r"there is no 1/model\.onnx"):
        read_folder(folder)


def test_a_model_is_found_by_name_in_the_first_repository_that_has_it(folder: Path, tmp_path: Path) -> None:
    assert find_model(MODEL.name, [tmp_path / "none", folder.parent, bundled_models()]) == folder
    with pytest.raises(ExportFailed, match=f"there are: {MODEL.name}"):
        find_model("other", [folder.parent])


@pytest.mark.parametrize(
    "card", ['{"graph": "x"}', '{"memory": {"loaded": "much"}}', "[]", '{"graph": {"weights": []}}']
)
def test_a_card_that_is_none_is_as_good_as_missing(folder: Path, card: str) -> None:
    (folder / "card.json").write_text(card)
    model, read = read_folder(folder)
    assert (model.name, read) == (MODEL.name, {})


def test_a_card_is_written_in_one_step_and_nothing_is_left_beside_it(folder: Path) -> None:
    before = {path.name for path in folder.iterdir()}
    save_card(folder, {"name": MODEL.name})
    assert {path.name for path in folder.iterdir()} == before
    assert read_card(folder) == {"name": MODEL.name}
    (folder / "card.json").unlink()
    (folder / "card.json").mkdir()  # where no file can be put
    with pytest.raises(ExportFailed) as caught:
        save_card(folder, {"name": MODEL.name})
    assert caught.value.code is ErrorCode.FILE_UNWRITABLE
    assert {path.name for path in folder.iterdir()} == before


def test_a_tensorrt_plan_is_listed_and_missed_when_it_is_gone(folder: Path, capsys) -> None:
    name = EngineName(model=MODEL.name, precision=Precision.FP16, gpu="NVIDIA L4", tensorrt="10.9.0")
    config = plan_config(MODEL, name)
    (folder / "config.pbtxt").write_text(config)
    (folder / GRAPH).rename(folder / "1" / name.file)

    def listed() -> dict[str, object]:
        assert main(["list", "--repository", str(folder.parent), "--json"]) == 0
        return json.loads(capsys.readouterr().out)["model"]

    assert listed()["license"] == MODEL.license
    with pytest.raises(ExportFailed, match="only onnxruntime"):  # which verify and bench need
        read_folder(folder)
    (folder / "1" / name.file).unlink()
    assert listed()["state"] == "broken"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["verify", MODEL.name, "nowhere.mp4"], 1, "FILE_NOT_FOUND: there is no file nowhere.mp4"),
        (["verify", MODEL.name, "--sheet", "no/where/x.png"], 1, "FILE_UNWRITABLE: no/where/x.png"),
        (["verify", "nobody"], 1, "MODEL_UNKNOWN: there is no model 'nobody'"),
        (["bench", MODEL.name, "--size", "99999x99999"], 2, "larger than a picture of 7680x4320"),
    ],
)
def test_what_cannot_be_measured_is_said_before_the_work(arguments, code, words, folder, capsys, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    assert main([*arguments, "--repository", str(folder.parent)]) == code
    assert words in capsys.readouterr().err


def test_models_are_listed_where_nothing_is_installed_to_make_them(folder: Path) -> None:
    missing = ("torch", "onnx", "onnxruntime", "safetensors", "spandrel", "PIL")
    blocked = f"import sys; sys.modules.update(dict.fromkeys({missing}))"
    program = f"{blocked}; from exporters.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "list", "--repository", str(folder.parent), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"]["license"] == MODEL.license


def test_the_list_shows_good_models_and_says_what_is_wrong_with_the_others(folder: Path, capsys) -> None:
    shutil.copytree(folder, folder.parent / "broken")
    assert main(["list", "--repository", str(folder.parent), "--json"]) == 0
    broken, good = (json.loads(line)["model"] for line in capsys.readouterr().out.splitlines())
    assert (good["name"], good["license"], good["scale"]) == (MODEL.name, MODEL.license, MODEL.scale)
    assert good["memoryBytes"] > 0
    assert (broken["name"], broken["state"]) == ("broken", "broken")
    assert MODEL.name in broken["error"]
