"""What a runner holds in private memory when pictures are as large as they may be.

    python scripts/large_pictures.py [--frames 60] [--preset veryfast] [--only h264] [--json]

Made clips go through real runners, as a worker drives them: a picture of the largest size that is taken, decoded and
encoded as it is, and enlarged to the largest that is written. Status 1 when a result that the documentation promises
to stay below the bound does not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from bench_folder import bench_folder
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from hostile.drive import Case, Driver
from triton_server import BICUBIC, start_triton

from coordinator.settings import RunnerSettings, runner_environment
from framewire.v1.job_pb2 import OutputSettings, VideoCodec
from framewire.v1.step_pb2 import Enhance, Step
from framewire.work.v1.work_pb2 import InferenceAddress

MOST_BYTES = 512 << 20
_CODECS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One film and what is made of it."""

    width: int = 4096
    height: int = 2304
    source: str = "h264"
    depth: int = 8
    target: str = "h264"
    scale: int = 1
    bounded: bool = False
    """It is promised to stay below the bound."""

    @property
    def name(self) -> str:
        """For people."""
        size = f"{self.width}x{self.height}"
        larger = f" x{self.scale}" if self.scale > 1 else ""
        return f"{size} {self.source} {self.depth} bit{larger} -> {self.target}"


TRIALS = (
    Trial(width=1920, height=1080, bounded=True),
    Trial(width=1920, height=1080, depth=10, source="hevc", bounded=True),
    Trial(width=1920, height=1080, target="hevc", bounded=True),
    Trial(width=1920, height=1080, target="av1", bounded=True),
    Trial(width=2560, height=1440, bounded=True),
    Trial(width=2560, height=1440, depth=10, source="hevc", bounded=True),
    Trial(width=2560, height=1440, target="hevc", bounded=True),
    Trial(width=2560, height=1440, target="av1", bounded=True),
    Trial(width=3840, height=2160, bounded=True),
    Trial(bounded=True),
    Trial(source="hevc", bounded=True),
    Trial(source="av1", bounded=True),
    Trial(depth=10, source="hevc"),
    Trial(target="hevc"),
    Trial(target="av1"),
    Trial(width=1920, height=1080, scale=2, bounded=True),
    Trial(scale=2),
)


def draw(path: Path, trial: Trial, frames: int) -> None:
    """A film in which a field of soft spots moves: every picture differs, and all references are of use."""
    pixels = "yuv420p10le" if trial.depth > 8 else "yuv420p"
    spots = np.random.default_rng(1).normal(128, 40, (trial.height // 8 + 64, trial.width // 8 + 64))
    field = np.kron(spots, np.ones((8, 8))).clip(0, 255).astype(np.uint8)
    with av.open(str(path), "w") as output:
        options = {"preset": "10" if trial.source == "av1" else "ultrafast"}
        video = output.add_stream(_CODECS[trial.source], rate=25, options=options)
        video.width, video.height, video.pix_fmt = trial.width, trial.height, pixels
        for number in range(frames):
            at = 4 * number % 256
            frame = av.VideoFrame.from_ndarray(_picture(field[at:, at:], trial), format="gray8")
            frame = frame.reformat(format=pixels)
            frame.pts = number
            output.mux(video.encode(frame))
        output.mux(video.encode(None))


def _picture(field: NDArray[np.uint8], trial: Trial) -> NDArray[np.uint8]:
    return np.ascontiguousarray(field[: trial.height, : trial.width])


def run(trial: Trial, folder: Path, options: argparse.Namespace, inference: InferenceAddress) -> int:
    """Most private bytes."""
    clip = folder / "clip.mp4"
    draw(clip, trial, options.frames)
    (jobs := folder / "jobs").mkdir(exist_ok=True)
    environment = {**os.environ, "FRAMEWIRE_LOG_LEVEL": "CRITICAL"}
    driver = Driver(
        runner=RunnerSettings(environment=runner_environment(environment)),
        folder=jobs,
        inference=inference,
        steps=(Step(enhance=Enhance(model=BICUBIC)),) if trial.scale > 1 else (),
        output=OutputSettings(preset=options.preset, codec=VideoCodec.Value(f"VIDEO_CODEC_{trial.target.upper()}")),
    )
    (outcome,) = asyncio.run(driver.run([Case(group="", name="clip.mp4", data=clip.read_bytes())], at_once=1))
    if outcome.result != "done":
        raise SystemExit(f"{trial.name}: {outcome.result} {outcome.message}")
    return outcome.private


@contextlib.contextmanager
def _models(folder: Path, *, needed: bool) -> Iterator[InferenceAddress]:
    if not needed:
        yield InferenceAddress()
        return
    with start_triton(folder, load=(BICUBIC,)) as server:
        yield InferenceAddress(url=server.url, key=server.key, shared_memory=True)


def main() -> int:
    """0 when every result that is promised to stays below the bound."""
    parser = argparse.ArgumentParser(description="Private memory of runners of large pictures.")
    parser.add_argument("--frames", type=int, default=60, help="of each film (60: three encoders one after the other)")
    parser.add_argument("--preset", default="veryfast", help="of the encoder (veryfast)")
    parser.add_argument("--only", default="", help="trials whose name has this in it")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    trials = [trial for trial in TRIALS if options.only in trial.name]
    found: dict[str, int] = {}
    with bench_folder() as folder, _models(folder, needed=any(trial.scale > 1 for trial in trials)) as inference:
        for trial in trials:
            found[trial.name] = run(trial, folder, options, inference)
            if not options.json:
                print(f"{trial.name:<44}{found[trial.name] >> 20:6} MiB{' *' if trial.bounded else ''}", flush=True)
    if options.json:
        print(json.dumps(found))
    over = [trial.name for trial in trials if trial.bounded and found[trial.name] > MOST_BYTES]
    if over:
        print(f"over {MOST_BYTES >> 20} MiB: {', '.join(over)}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
