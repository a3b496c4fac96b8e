"""A model comes in while the stack runs, and the next command uses it; what is wrong with another harms nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from clips import Clip, make_clip, read_clip
from local_stack import Stack
from numpy.typing import NDArray

from exporters.cli import main

LAMA = ["--license", "Apache-2.0", "--name", "lama"]
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


def test_an_imported_lama_fills_a_box_in_the_next_command(stack: Stack, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", Clip(width=160, height=96, frames=5))
    with checkpoints.small_lama():  # in this process: there is no small LaMa elsewhere
        assert main(["import", str(checkpoints.lama(tmp_path)), *LAMA, "--data", str(stack.data)]) == 0
    box, speck = (
        inpainted(stack, clip, tmp_path / f"{name}.mkv", boxes)
        for name, boxes in (("box", "24x16+96+40"), ("speck", "2x2+0+0"))
    )
    changed = abs(box - speck).max(axis=(0, 3))
    assert changed[40:56, 96:120].max() > 40
    changed[32:64, 88:128] = changed[:10, :10] = 0  # colour has half the size in the file, and is read back smoothly
    assert not changed.any()
    refused = stack.run("run", clip, "--step", "denoise:model=lama", "-o", tmp_path / "no.mkv", timeout=60)
    assert (refused.code, "STEP_INVALID" in refused.err) == (1, True), refused.err


def inpainted(stack: Stack, clip: Path, out: Path, boxes: str) -> NDArray[np.int64]:
    """The frames of a job's result, whose encoder changed nothing."""
    step = f"inpaint:boxes={boxes},model=lama"
    used = stack.run("run", clip, "--step", step, "--crf", "0", "-o", out, timeout=170)
    assert used.code == 0, used.err
    return np.stack(read_clip(out).pictures).astype(np.int64)


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
