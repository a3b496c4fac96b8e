"""What TensorRT is asked for, on a recording that has its documented names; the real one runs on GPU machines alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from exporters import tensorrt
from exporters.cli import main
from exporters.config import parse_config
from exporters.declaration import INPUT, MASK, Kind, Model, Precision, State
from exporters.errors import ExportFailed
from exporters.models import MODELS
from exporters.profiles import profile_of
from exporters.tensorrt import EngineName, Plan, build_plan, calibration_batches, plan_config
from framewire.errors import ErrorCode, LocalError

MODEL = next(model for model in MODELS if model.name == "upscale_bicubic_x2")
NAME = EngineName(model="m", precision=Precision.FP16, gpu="NVIDIA H100 80GB HBM3", tensorrt="10.9.0.34")


class Recorder:
    """TensorRT's builder, as far as it is used: says yes, and remembers what it was asked."""

    def __init__(self, *, parses: bool = True, builds: bool = True) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.profiles: list[dict[str, tuple]] = []
        self._parses, self._builds = parses, builds
        self.__version__ = "10.9.0.34"
        self.Logger = type("Logger", (), {"WARNING": 2, "__init__": lambda logger, level: None})
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.BuilderFlag = SimpleNamespace(FP16="fp16", INT8="int8")
        self.IInt8EntropyCalibrator2 = type("IInt8EntropyCalibrator2", (), {})
        self.config: Any = None

    def Builder(self, logger: object) -> Any:  # noqa: N802 - TensorRT's name
        return SimpleNamespace(
            create_network=lambda flags: "network",
            create_builder_config=self._config,
            create_optimization_profile=self._profile,
            build_serialized_network=lambda network, config: b"engine" if self._builds else None,
        )

    def OnnxParser(self, network: object, logger: object) -> Any:  # noqa: N802 - TensorRT's name
        return SimpleNamespace(
            parse=lambda graph: self.calls.append(("parse", graph)) or self._parses,
            num_errors=1,
            get_error=lambda number: "no kernel for Magic",
        )

    def _config(self) -> Any:
        def record(name: str):
            return lambda *values, **_: self.calls.append((name, values))

        self.config = SimpleNamespace(
            set_memory_pool_limit=record("limit"),
            add_optimization_profile=record("profile"),
            set_calibration_profile=record("calibration profile"),
            set_flag=record("flag"),
            create_timing_cache=lambda content: self.calls.append(("cache", content)),
            set_timing_cache=record("set cache"),
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: b"timings"),
            int8_calibrator=None,
        )
        return self.config

    def _profile(self) -> Any:
        shapes: dict[str, tuple] = {}
        self.profiles.append(shapes)
        return SimpleNamespace(set_shape=lambda name, *three: shapes.update({name: three}))

    def flags(self) -> list[str]:
        return [values[0] for name, values in self.calls if name == "flag"]


def plan(model: Model = MODEL, **changes: object) -> Plan:
    return replace(Plan(model=model, graph=b"graph", precision=Precision.FP16), **changes)


def frames(count: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, height, width, 3), np.uint8)


def test_a_plan_is_parsed_profiled_and_built() -> None:
    trt = Recorder()
    assert build_plan(trt, plan(), b"known timings") == (b"engine", b"timings")
    assert ("parse", b"graph") in trt.calls
    assert ("cache", b"known timings") in trt.calls
    assert ("limit", ("workspace", tensorrt.WORKSPACE)) in trt.calls
    assert trt.profiles == [{INPUT: ((1, 16, 16, 3), (8, 720, 1280, 3), (8, 2160, 3840, 3))}]
    assert trt.flags() == ["fp16"]


def test_fp32_asks_for_nothing_less() -> None:
    trt = Recorder()
    build_plan(trt, plan(precision=Precision.FP32))
    assert trt.flags() == []


def test_int8_is_calibrated_with_frames_at_their_size() -> None:
    trt = Recorder()
    build_plan(trt, plan(precision=Precision.INT8, frames=frames(20)))
    assert trt.flags() == ["fp16", "int8"]
    assert trt.profiles[1] == {INPUT: ((8, 20, 30, 3),) * 3}
    assert any(name == "calibration profile" for name, _ in trt.calls)


def test_the_calibrator_hands_out_every_batch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def on_gpu(array: np.ndarray) -> Any:
        seen.append(array)
        return SimpleNamespace(data_ptr=lambda: 4096)

    monkeypatch.setattr(tensorrt, "_on_gpu", on_gpu)
    trt = Recorder()
    build_plan(trt, plan(precision=Precision.INT8, frames=frames(20)))
    calibrator = trt.config.int8_calibrator
    assert calibrator.get_batch_size() == 8
    assert [calibrator.get_batch([INPUT]) for _ in range(3)] == [[4096], [4096], None]
    assert [int(batch[0, 0, 0, 0]) for batch in seen] == [0, 8]


def test_int8_without_frames_is_refused_unless_the_graph_has_its_scales() -> None:
    with pytest.raises(ExportFailed, match="needs frames"):
        build_plan(Recorder(), plan(precision=Precision.INT8))
    quantised = plan(replace(MODEL, precision=Precision.INT8), precision=Precision.INT8)
    assert build_plan(Recorder(), quantised)[0] == b"engine"


def test_a_graph_tensorrt_does_not_take_is_named_with_its_reason() -> None:
    with pytest.raises(ExportFailed, match="no kernel for Magic"):
        build_plan(Recorder(parses=False), plan())
    with pytest.raises(ExportFailed, match="builds no fp16 plan"):
        build_plan(Recorder(builds=False), plan())


def test_calibration_batches_are_full_and_of_a_size_the_model_takes() -> None:
    model = replace(MODEL, size_multiple=8, max_batch=4)
    batches = list(calibration_batches(model, frames(10)))
    assert [batch[INPUT].shape for batch in batches] == [(4, 24, 32, 3)] * 2
    assert [int(batch[INPUT][0, 0, 0, 0]) for batch in batches] == [0, 4]
    with pytest.raises(ExportFailed, match="4 frames at least"):
        next(calibration_batches(model, frames(3)))


def test_profiles_hold_masks_and_states_and_fit_the_model() -> None:
    model = replace(MODEL, kind=Kind.INPAINT, size_multiple=32, max_batch=2, state=(State(channels=4, divisor=2),))
    profile = profile_of(model)
    assert profile.least == {INPUT: (1, 32, 32, 3), MASK: (1, 32, 32, 1), "STATE_IN": (4, 16, 16)}
    assert profile.usual[INPUT] == (2, 736, 1280, 3)
    fixed = profile_of(replace(MODEL, fixed_size=512))
    assert fixed.least[INPUT][1:] == fixed.largest[INPUT][1:] == (512, 512, 3)


def test_a_plans_name_says_what_it_fits_and_is_read_back() -> None:
    assert NAME.file == "m.fp16.NVIDIA_H100_80GB_HBM3.trt10.9.0.34.plan"
    assert EngineName.parse(NAME.file) == replace(NAME, gpu="NVIDIA_H100_80GB_HBM3")
    with pytest.raises(ValueError, match="no name of a plan"):
        EngineName.parse("model.plan")


def test_a_plan_is_served_by_tritons_tensorrt_backend() -> None:
    config = parse_config(plan_config(MODEL, NAME))
    assert (config.backend, config.default_model_filename) == ("tensorrt", NAME.file)
    assert config.parameters["scale"].string_value == "2"


def test_where_tensorrt_is_absent_the_command_says_what_to_install(capsys, monkeypatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(tensorrt, "import_module", absent)
    assert main(["tensorrt", MODEL.name]) == 1
    assert "TOOL_MISSING: there is no TensorRT here; install it with" in capsys.readouterr().err


def test_the_gpu_is_named_as_the_driver_names_it(tmp_path) -> None:
    information = tmp_path / "gpus" / "0000:01:00.0" / "information"
    information.parent.mkdir(parents=True)
    information.write_text("Model: \t\t NVIDIA L4\nIRQ:   36\n")
    assert tensorrt.gpu_name(f"{tmp_path}/gpus/*/information") == "NVIDIA L4"
    with pytest.raises(LocalError) as caught:
        tensorrt.gpu_name(f"{tmp_path}/none/*/information")
    assert caught.value.code is ErrorCode.TOOL_MISSING
