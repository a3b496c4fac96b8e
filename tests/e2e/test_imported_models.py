"""A model comes in while the stack runs, and the next command uses it; what is wrong with another harms nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import checkpoints
import pytest
from clips import Clip, make_clip, read_clip
from local_stack import Stack

SMALL = Clip(width=64, height=48, frames=5)


@pytest.mark.parametrize(
    ("make", "name", "scale"),
    # the second is used under the name that import gives it
    [(checkpoints.compact, "compact", 2), (checkpoints.esrgan, "4x-photo_v2", 4), (checkpoints.span, "span", 2)],
    ids=["compact", "esrgan", "span"],
)
def test_an_imported_model_is_used_by_the_next_command(
    stack: Stack, tmp_path: Path, make: Callable[[Path], Path], name: str, scale: int
) -> None:
    file, clip, out = make(tmp_path), make_clip(tmp_path / "in.mp4", SMALL), tmp_path / "out.mp4"
    imported = stack.run("models", "import", file, "--license", "MIT", "--json", timeout=170)
    assert imported.code == 0, imported.err
    used = stack.run("run", clip, "--step", f"enhance:model={name}", "-o", out, timeout=170)
    assert used.code == 0, used.err
    assert read_clip(out).pictures[0].shape == (48 * scale, 64 * scale, 3)
    listed = stack.run("models", "list", "--json")
    states = {record["model"]["name"]: record["model"]["state"] for record in listed.records}
    assert states[name] == "loaded"


def test_a_broken_model_fails_its_job_and_no_other(stack: Stack, tmp_path: Path) -> None:
    broken = stack.data / "models" / "broken"
    (broken / "1").mkdir(parents=True)
    (broken / "1" / "model.onnx").write_bytes(b"no graph")
    (broken / "config.pbtxt").write_text('name: "broken" backend: "onnxruntime" max_batch_size: 1')
    clip = make_clip(tmp_path / "in.mp4", SMALL)
    for model, words in (("broken", "MODEL_INVALID: model broken cannot be loaded: "), ("nobody", "MODEL_UNKNOWN: ")):
        loaded = stack.run("models", "load", model, timeout=60)
        assert loaded.code == 1
        assert words in loaded.err
    failed = stack.run("run", clip, "--step", "enhance:model=broken", "-o", tmp_path / "no.mp4", timeout=170)
    assert failed.code == 1
    assert "MODEL_INVALID: model broken cannot be loaded: " in failed.err
    used = stack.run("run", clip, "--step", "enhance", "-o", tmp_path / "out.mp4", timeout=170)
    assert used.code == 0, used.err
