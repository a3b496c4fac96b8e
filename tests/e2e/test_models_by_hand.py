"""Loading and unloading models by hand, and what the catalogue says of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_stack import QUICK_STEP, Stack
from triton_server import BICUBIC


def described(stack: Stack) -> dict[str, Any]:
    """What the workers say of the model."""
    answer = stack.run("workers", "--json")
    (worker,) = [record["worker"] for record in answer.records]
    return next(model for model in worker["models"] if model["name"] == BICUBIC)


def until(stack: Stack, right: Callable[[dict[str, Any]], bool], what: str) -> None:
    """Look until the worker, which speaks every few seconds, says so of the model."""
    limit = time.monotonic() + 30
    while not right(seen := described(stack)):
        assert time.monotonic() < limit, f"not {what}: {seen}"


def test_a_model_is_pinned_and_let_go_by_hand_and_loaded_again_by_a_job(
    stack: Stack, clip: Path, tmp_path: Path
) -> None:
    loaded = stack.run("models", "load", BICUBIC, timeout=120)
    assert loaded.code == 0, loaded.err
    assert described(stack)["pinned"]
    assert int(described(stack)["memoryBytes"]) > 20 << 20
    gone = stack.run("models", "unload", BICUBIC, timeout=120)
    assert gone.code == 0, gone.err
    until(stack, lambda model: not model.get("loaded"), "unloaded")
    assert described(stack)["license"] == "Apache-2.0"
    answer = stack.run("run", clip, "--step", QUICK_STEP, "-o", tmp_path / "out.mp4", timeout=170)
    assert answer.code == 0, answer.err
    until(stack, lambda model: bool(model.get("loaded")), "loaded again")
