"""A model proven again, measured and timed, on a real Triton; and a network that remembers through the whole engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import Clip, make_clip
from PIL import Image

from exporters import bench, memory
from exporters.cli import main
from exporters.declaration import INPUT, OUTPUT, Model, State
from exporters.engine import GRAPH, export
from exporters.film import enhance
from exporters.folder import read_folder
from exporters.network import Network
from exporters.parity import session
from framewire.stack.settings import bundled_models

MODEL = "upscale_bicubic_x2"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    shutil.copytree(bundled_models() / MODEL, tmp_path / "models" / MODEL)
    return tmp_path / "models"


def records(out: str, key: str) -> list[dict]:
    return [record[key] for record in map(json.loads, out.splitlines()) if key in record]


def test_bicubic_is_as_good_as_bicubic(repository: Path, tmp_path: Path, capsys) -> None:
    clip, sheet = make_clip(tmp_path / "in.mp4", Clip(width=96, height=80, frames=4)), tmp_path / "sheet.png"
    arguments = [MODEL, str(clip), "--frames", "4", "--repository", str(repository), "--sheet", str(sheet), "--write"]
    assert main(["verify", *arguments, "--json"]) == 0
    (found,) = records(capsys.readouterr().out, "clip")
    assert (found["clip"], found["frames"]) == ("in", 4)
    assert abs(found["gain"]) < 0.01
    assert 10 < found["bicubic"]["psnr"] < 60
    with Image.open(sheet) as picture:
        assert picture.width > picture.height
        assert len(picture.getcolors(1 << 20) or []) > 10
    card = json.loads((repository / MODEL / "card.json").read_text())
    assert card["quality"]["clips"][0]["clip"] == "in"


def test_a_graph_that_is_not_the_proven_one_is_not_verified(repository: Path, capsys) -> None:
    graph = repository / MODEL / GRAPH
    graph.write_bytes(graph.read_bytes() + b"\x32\x03doc")
    assert main(["verify", MODEL, "--repository", str(repository)]) == 1
    assert "MODEL_INVALID" in capsys.readouterr().err


def test_a_clip_that_is_none_is_named(repository: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "no.mp4").write_bytes(b"no clip")
    assert main(["verify", MODEL, str(tmp_path / "no.mp4"), "--repository", str(repository)]) == 1
    said = capsys.readouterr().err
    assert "no.mp4 cannot be read as video" in said
    assert "MEDIA_UNREADABLE" in said


def test_every_way_and_batch_is_timed(repository: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_SECONDS", 0.1)
    assert main(["bench", MODEL, "--size", "64x48", "--repository", str(repository), "--json"]) == 0
    speeds = records(capsys.readouterr().out, "speed")
    ways = {"in process", "Triton, shared memory", "Triton, gRPC"}
    assert {(speed["where"], speed["batch"]) for speed in speeds} == {(way, batch) for way in ways for batch in (1, 8)}
    assert all(speed["ms_per_megapixel"] > 0 for speed in speeds)


class Fading(torch.nn.Module):
    """Each frame is the mean of itself and what was shown before, at half the size."""

    def forward(self, frames: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        large = torch.nn.functional.interpolate(state[None], scale_factor=2, mode="nearest")
        shown = (frames + large) / 2
        return shown, torch.nn.functional.avg_pool2d(shown[-1:], 2)[0]


def test_a_network_that_remembers_goes_through_the_whole_engine(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "_FRAME", (48, 64))
    model = Model(
        name="fading", scale=1, size_multiple=2, max_batch=1, license="MIT", description="Fades.",
        state=(State(channels=3, divisor=2),), recipe=Network(architecture="Fading", make=Fading, checkpoint=None),
    )  # fmt: skip
    found = export(model, tmp_path / "models")
    assert found.triton.within(model.tolerance)
    read, _ = read_folder(tmp_path / "models" / "fading")
    assert read.state == model.state
    run = session((tmp_path / "models" / "fading" / GRAPH).read_bytes())
    film = np.full((3, 5, 7, 3), 200, np.uint8)  # an odd size: padded, and cut again
    assert enhance(read, run, film)[:, 0, 0, 0].tolist() == [100, 150, 175]
    zeros = run(model.feeds(np.full((1, 4, 6, 3), 200, np.uint8)))
    assert set(zeros) == {OUTPUT, "STATE_OUT"}
    assert INPUT not in zeros
