"""The model and nothing else: decoded frames through one ONNX Runtime session in one process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np
import onnxruntime

MODEL = Path(__file__).resolve().parent.parent / "triton_models" / "upscale_bicubic_x2" / "1" / "model.onnx"
MOST_BYTES = 2 << 30
"""Frames are held decoded: a longer clip is measured on as many as fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BareRun:
    """What one loop took."""

    frames: int
    wall: float
    cpu: float
    """Seconds of user and system time, of the loop alone."""
    rss: int
    """Peak of the process in bytes, the decoded frames included."""


def run_bare_loop(clip: Path, batch: int) -> BareRun:
    """Decode, then time the model, in a process that does nothing else."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (clip, batch))


def _measure(clip: Path, batch: int) -> BareRun:
    frames = _decode(clip)
    session = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    session.run(None, {name: frames[:batch]})  # what the first run allocates is not counted
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(frames), batch):
        session.run(None, {name: frames[start : start + batch]})
    return BareRun(
        frames=len(frames),
        wall=time.perf_counter() - wall,
        cpu=time.process_time() - cpu,
        rss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _decode(clip: Path) -> np.ndarray:
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        most = max(1, MOST_BYTES // (video.width * video.height * 3))
        return np.stack([frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video), most)])
