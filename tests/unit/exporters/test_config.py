"""config.pbtxt as Triton itself reads it, and as the coordinator reads the contract out of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tritonclient.grpc import model_config_pb2

from coordinator.inference.contracts import parse_contract
from exporters.config import CONFIG, TENSORRT_CONFIG, Memory, config_files, config_text, parse_config
from exporters.declaration import INPUT, MASK, OUTPUT, Kind, Model, State
from exporters.errors import ExportFailed
from exporters.models import MODELS

STATELESS = next(model for model in MODELS if model.name == "upscale_bicubic_x2")
RECURRENT = replace(STATELESS, name="film", size_multiple=4, state=(State(channels=16, divisor=4),))


def shapes(tensors) -> list[tuple[str, int, list[int]]]:
    return [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in tensors]


def test_triton_reads_frames_in_and_frames_out() -> None:
    config = parse_config(config_text(STATELESS))
    assert (config.name, config.backend) == (STATELESS.name, "onnxruntime")
    assert config.max_batch_size == STATELESS.max_batch
    assert shapes(config.input) == [(INPUT, model_config_pb2.TYPE_UINT8, [-1, -1, 3])]
    assert shapes(config.output) == [(OUTPUT, model_config_pb2.TYPE_UINT8, [-1, -1, 3])]
    assert config.instance_group[0].count == STATELESS.instances


def test_a_recurrent_model_has_time_first_and_states_without_a_batch() -> None:
    config = parse_config(config_text(RECURRENT))
    assert config.max_batch_size == 0
    assert shapes(config.input) == [
        (INPUT, model_config_pb2.TYPE_UINT8, [-1, -1, -1, 3]),
        ("STATE_IN", model_config_pb2.TYPE_FP32, [16, -1, -1]),
    ]
    assert shapes(config.output)[1] == ("STATE_OUT", model_config_pb2.TYPE_FP32, [16, -1, -1])


@pytest.mark.parametrize("model", [*MODELS, RECURRENT], ids=lambda model: model.name)
def test_the_coordinator_reads_the_contract_that_was_declared(model: Model) -> None:
    memory = Memory(loaded=5 << 20, per_pixel=99)
    contract = parse_contract(parse_config(config_text(model, memory)), "1")
    for field in ("name", "scale", "size_multiple", "max_batch", "license", "description"):
        assert getattr(contract, field) == getattr(model, field)
    assert contract.overlap == model.overlap
    assert (contract.memory_bytes, contract.bytes_per_pixel) == (5 << 20, 99)
    for declared, read in zip(model.state, contract.state, strict=True):
        assert read.shape(48, 64) == declared.zeros(48, 64).shape


def test_an_inpainting_model_takes_a_mask() -> None:
    config = parse_config(config_text(replace(STATELESS, kind=Kind.INPAINT)))
    assert shapes(config.input)[1] == (MASK, model_config_pb2.TYPE_UINT8, [-1, -1, 1])


def test_the_tensorrt_variant_differs_in_its_accelerator_alone() -> None:
    files = config_files(STATELESS)
    plain, accelerated = parse_config(files[CONFIG]), parse_config(files[TENSORRT_CONFIG])
    (accelerator,) = accelerated.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters["precision_mode"] == "FP16"
    accelerated.ClearField("optimization")
    assert accelerated == plain


def test_tensorrt_is_told_which_sizes_come() -> None:
    files = config_files(RECURRENT)
    (accelerator,) = parse_config(files[TENSORRT_CONFIG]).optimization.execution_accelerators.gpu_execution_accelerator
    shapes = {key: accelerator.parameters[f"trt_profile_{key}_shapes"] for key in ("min", "opt", "max")}
    assert shapes["min"] == "FRAMES_IN:1x16x16x3,STATE_IN:16x4x4"
    assert shapes["opt"] == "FRAMES_IN:8x720x1280x3,STATE_IN:16x180x320"
    assert shapes["max"] == "FRAMES_IN:8x2160x3840x3,STATE_IN:16x540x960"


def test_text_with_quotes_and_other_letters_is_read_back_as_it_was() -> None:
    description = 'says "twice", C:\\path, naïve'
    config = parse_config(config_text(replace(STATELESS, description=description)))
    assert config.parameters["description"].string_value == description


def test_what_triton_would_read_otherwise_is_refused() -> None:
    with pytest.raises(ExportFailed, match="not what Triton reads"):
        parse_config('name: "x" no_such_field: 1')


def test_a_config_names_the_graph_it_was_written_for() -> None:
    for text in config_files(STATELESS, graph_sha256="ab" * 32).values():
        assert parse_contract(parse_config(text), "1").graph_sha256 == "ab" * 32
    assert parse_contract(parse_config(config_text(STATELESS)), "1").graph_sha256 == ""
