"""Native TensorRT plans, for one GPU and one TensorRT version each.

    model_folder/1/model.onnx --parse, profile, precision, calibration, timing cache--> plan
    enhance_x2_trt/1/enhance_x2.fp16.NVIDIA_H100_80GB_HBM3.trt10.9.0.plan   beside a config that names it

TensorRT is not among the packages this project installs; where it is absent, `need_tensorrt` says what to
install. It is reached through the module that `need_tensorrt` gives alone, so that all this is tested without.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.declaration import INPUT, Frames, Model, Precision
from exporters.errors import ExportFailed
from exporters.profiles import Profile, profile_of
from framewire.errors import ErrorCode, LocalError

WORKSPACE = 1 << 30
"""Bytes of GPU memory a kernel may use besides its tensors."""
_INSTALL = (
    "install it with `pip install tensorrt-cu13` on a machine with an NVIDIA GPU, or run this in"
    " NVIDIA's TensorRT container; the config variant `tensorrt` needs none of it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineName:
    """What a plan is called: it fits nothing but what its name says."""

    model: str
    precision: Precision
    gpu: str
    tensorrt: str

    @property
    def file(self) -> str:
        """`enhance_x2.fp16.NVIDIA_L4.trt10.9.0.34.plan`."""
        gpu = re.sub(r"[^A-Za-z0-9-]+", "_", self.gpu).strip("_")
        return f"{self.model}.{self.precision}.{gpu}.trt{self.tensorrt}.plan"

    @classmethod
    def parse(cls, file: str) -> EngineName:
        """The name of this file. Raises ValueError for one that is no plan's."""
        found = re.fullmatch(r"(.+)\.(fp32|fp16|int8)\.([A-Za-z0-9_-]+)\.trt([0-9.]+)\.plan", file)
        if not found:
            raise ValueError(f"{file!r} is no name of a plan")
        return cls(model=found[1], precision=Precision(found[2]), gpu=found[3], tensorrt=found[4])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be built."""

    model: Model
    graph: bytes
    precision: Precision
    frames: Frames | None = None
    """To calibrate int8 with, `[n, height, width, 3]`; needed where the graph brings no scales of its own."""
    workspace: int = WORKSPACE

    @property
    def profile(self) -> Profile:
        """Least, usual and largest shapes."""
        return profile_of(self.model)


def need_tensorrt() -> Any:
    """The module `tensorrt`. Raises LocalError (TOOL_MISSING) that says what to install."""
    try:
        return import_module("tensorrt")
    except (ImportError, OSError) as error:
        raise LocalError(f"there is no TensorRT here; {_INSTALL}", code=ErrorCode.TOOL_MISSING) from error


def build_plan(trt: Any, plan: Plan, timing_cache: bytes = b"") -> tuple[bytes, bytes]:
    """The serialized engine, and the timing cache that makes the next build fast.

    Raises ExportFailed when TensorRT does not take the graph or builds nothing.
    """
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(0)  # batches are explicit
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(plan.graph):
        errors = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
        raise ExportFailed(f"{plan.model.name}: TensorRT does not take the graph: {errors}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, plan.workspace)
    config.add_optimization_profile(_profile(builder, plan))
    _set_precision(trt, builder, config, plan)
    cache = config.create_timing_cache(timing_cache)
    config.set_timing_cache(cache, ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportFailed(f"{plan.model.name}: TensorRT builds no {plan.precision} plan of it; its log says why")
    return bytes(engine), bytes(config.get_timing_cache().serialize())


def calibration_batches(model: Model, frames: Frames) -> Iterator[dict[str, NDArray[Any]]]:
    """Inputs of the usual batch size, in the film's order; what is left over at the end is not used.

    Raises ExportFailed when there are not enough frames for one.
    """
    batch = model.max_batch
    if len(frames) < batch:
        raise ExportFailed(f"{model.name}: calibration needs {batch} frames at least, there are {len(frames)}")
    height, width = model.fitting(*frames.shape[1:3])
    padding = ((0, 0), (0, height - frames.shape[1]), (0, width - frames.shape[2]), (0, 0))
    padded = np.pad(frames, padding, mode="edge")
    for start in range(0, len(padded) - batch + 1, batch):
        yield model.feeds(np.ascontiguousarray(padded[start : start + batch]))


def plan_config(model: Model, name: EngineName) -> str:
    """A config that serves the plan with Triton's TensorRT backend."""
    from exporters.config import config_text

    text = config_text(model).replace('backend: "onnxruntime"', 'backend: "tensorrt"')
    return text + f'default_model_filename: "{name.file}"\n'


def gpu_name(pattern: str = "/proc/driver/nvidia/gpus/*/information") -> str:
    """The first GPU's name, as the driver says it. Raises LocalError (TOOL_MISSING) when there is none."""
    root, _, rest = pattern.partition("*")
    for path in sorted(Path(root).glob(f"*{rest}")) if Path(root).is_dir() else []:
        found = re.search(r"^Model:\s*(.+)$", path.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    raise LocalError("there is no NVIDIA GPU here to build a plan for", code=ErrorCode.TOOL_MISSING)


def _profile(builder: Any, plan: Plan) -> Any:
    profile = builder.create_optimization_profile()
    shapes = plan.profile
    for name in plan.model.inputs:
        profile.set_shape(name, shapes.least[name], shapes.usual[name], shapes.largest[name])
    return profile


def _set_precision(trt: Any, builder: Any, config: Any, plan: Plan) -> None:
    if plan.precision is Precision.FP32:
        return
    config.set_flag(trt.BuilderFlag.FP16)  # also where int8 is asked for: what has no int8 kernel runs in fp16
    if plan.precision is Precision.FP16:
        return
    config.set_flag(trt.BuilderFlag.INT8)
    if plan.model.precision is Precision.INT8:
        return  # the graph has its scales in it
    if plan.frames is None:
        raise ExportFailed(f"{plan.model.name}: int8 needs frames to calibrate with")
    batches = list(calibration_batches(plan.model, plan.frames))
    config.int8_calibrator = _calibrator(trt, batches)
    # calibration runs one shape: that of its batches
    config.set_calibration_profile(_fixed(builder, batches[0]))


def _fixed(builder: Any, feeds: dict[str, NDArray[Any]]) -> Any:
    profile = builder.create_optimization_profile()
    for name, array in feeds.items():
        profile.set_shape(name, array.shape, array.shape, array.shape)
    return profile


def _calibrator(trt: Any, batches: Sequence[dict[str, NDArray[Any]]]) -> Any:
    """An entropy calibrator over these batches, copied to the GPU by torch, which is here anyway."""

    class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc]  # known at run time alone
        def __init__(self) -> None:
            super().__init__()
            self._left: Iterable[dict[str, NDArray[Any]]] = iter(batches)
            self._held: dict[str, Any] = {}

        def get_batch_size(self) -> int:
            return int(batches[0][INPUT].shape[0])

        def get_batch(self, names: list[str]) -> list[int] | None:
            feeds = next(iter(self._left), None)
            if feeds is None:
                return None
            self._held = {name: _on_gpu(feeds[name]) for name in names}  # kept until the next batch
            return [tensor.data_ptr() for tensor in self._held.values()]

        def read_calibration_cache(self) -> bytes | None:
            return None

        def write_calibration_cache(self, cache: object) -> None:
            del cache

    return Calibrator()


def _on_gpu(array: NDArray[Any]) -> Any:
    import torch

    return torch.from_numpy(array).cuda()
