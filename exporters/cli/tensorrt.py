"""`framewire models tensorrt`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import click
import numpy as np

from exporters.cli.options import FOLDER, data_option, json_option, repositories, repository_option
from exporters.declaration import Frames, Precision
from exporters.edge_casts import casts_at_edges
from exporters.engine import GRAPH, accept, write_files
from exporters.errors import ExportFailed
from exporters.folder import find_model, read_folder
from exporters.progress import Shown
from exporters.tensorrt import EngineName, Plan, build_plan, gpu_name, need_tensorrt, plan_config
from exporters.workshop import workshop_beside
from framewire.cli.screen import Screen

_SUFFIX = "_trt"
_TIMING_CACHE = "timing.cache"


@click.command("tensorrt")
@click.argument("model")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "int8"]), default="fp16", show_default=True)
@click.option("--calibrate", type=click.Path(path_type=Path), metavar="CLIP", help="Clip to calibrate int8 with.")
@click.option("--frames", type=click.IntRange(1, 2000), default=64, show_default=True, help="To calibrate with.")
@click.option("--into", type=FOLDER, help="Repository for the plan.  [default: that of the model]")
@repository_option
@data_option
@json_option
def command(
    model: str,
    precision: str,
    calibrate: Path | None,
    frames: int,
    into: Path | None,
    repository: Path | None,
    data: Path | None,
    as_json: bool,
) -> int:
    """Build a native TensorRT plan of MODEL for this machine's GPU, served as MODEL_trt.

    A plan fits one GPU and one TensorRT version; its name says which. There is a way without: every model has a config
    variant that has ONNX Runtime use TensorRT (`tritonserver --model-config-name=tensorrt`).

    \b
    Examples:
      framewire models tensorrt enhance_x2
      framewire models tensorrt enhance_x2 --precision int8 --calibrate holiday.mp4
    """
    screen = Screen(as_json=as_json)
    trt = need_tensorrt()
    folder = find_model(model, repositories(data, repository))
    known, _ = read_folder(folder)
    name = EngineName(model=model, precision=Precision(precision), gpu=gpu_name(), tensorrt=trt.__version__)
    target = (into or folder.parent) / f"{model}{_SUFFIX}"
    cache = target / _TIMING_CACHE
    plan = Plan(
        model=known,
        graph=casts_at_edges((folder / GRAPH).read_bytes()),
        precision=name.precision,
        frames=_frames(calibrate, frames) if calibrate else None,
    )
    with Shown(screen).stage(f"{model}: TensorRT plan, {precision}; this takes minutes"):
        engine, timings = build_plan(trt, plan, cache.read_bytes() if cache.is_file() else b"")
    served = plan_config(known, name).replace(f'name: "{model}"', f'name: "{model}{_SUFFIX}"', 1)
    with workshop_beside(target.parent) as workshop:
        fresh = workshop / target.name
        write_files(fresh, {"config.pbtxt": served.encode(), f"1/{name.file}": engine, _TIMING_CACHE: timings})
        accept(fresh, target)
    screen.show(str(target / "1" / name.file), {"plan": {"model": target.name, "file": name.file}})
    return 0


def _frames(clip: Path, count: int) -> Frames:
    from exporters.train.clips import frames_of

    frames = list(islice(frames_of(clip), count))
    if not frames:
        raise ExportFailed(f"{clip} has no frames")
    return np.stack(frames)
