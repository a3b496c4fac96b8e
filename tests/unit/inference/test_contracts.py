"""Contracts out of config.pbtxt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from coordinator.inference.contracts import parse_contract
from exporters.config import config_text
from exporters.declaration import Kind
from exporters.models import MODELS
from framewire.errors import ErrorCode, StepError
from framewire.steps.contract import DEFAULT_ENHANCE_MODEL

COMPLETE = config_text(MODELS[0])


def parse(text: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_what_an_exporter_writes_is_read_back_as_the_same_contract(model) -> None:
    contract = parse_contract(parse(config_text(model)), "3")
    assert contract.name == model.name
    assert contract.version == "3"
    assert (contract.scale, contract.size_multiple, contract.max_batch) == (
        model.scale,
        model.size_multiple,
        model.max_batch,
    )
    assert (contract.license, contract.description) == (model.license, model.description)


def test_the_default_model_is_one_of_the_built_in_ones() -> None:
    assert DEFAULT_ENHANCE_MODEL in {model.name for model in MODELS}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("kind: face", "model m is of kind face, which no step uses yet"),
        ("fixed_size: 512", "model m takes pictures of 512x512 alone, which no step uses yet"),
    ],
)
def test_a_model_that_no_step_uses_says_so(said: str, why: str) -> None:
    key, _, value = said.partition(": ")
    text = f'name: "m" max_batch_size: 1 parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}'
    with pytest.raises(StepError) as caught:
        parse_contract(parse(text), "1")
    assert (caught.value.code, caught.value.message) == (ErrorCode.MODEL_INVALID, why)


INPAINTING = config_text(replace(MODELS[0], kind=Kind.INPAINT, scale=1, state=()))


def test_a_model_that_fills_names_the_input_that_takes_its_mask() -> None:
    contract = parse_contract(parse(INPAINTING), "1")
    assert (contract.input, contract.mask, contract.output, contract.scale) == ("FRAMES_IN", "MASK_IN", "FRAMES_OUT", 1)
    assert contract.to_proto().takes_mask
    assert not parse_contract(parse(COMPLETE), "1").to_proto().takes_mask


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("[ -1, -1, 1 ]", "[ -1, -1, 2 ]", "a uint8 mask"),
        ('"MASK_IN" data_type: TYPE_UINT8', '"MASK_IN" data_type: TYPE_FP32', "a uint8 mask"),
        (
            'key: "scale" value: { string_value: "1" }',
            'key: "scale" value: { string_value: "2" }',
            "makes nothing larger",
        ),
        ('string_value: "inpaint"', 'string_value: "denoise"', "max_batch_size must be 0"),
    ],
)
def test_a_model_that_fills_with_a_wrong_contract_names_what_is_wrong(before: str, after: str, why: str) -> None:
    assert before in INPAINTING
    with pytest.raises(StepError, match=why) as caught:
        parse_contract(parse(INPAINTING.replace(before, after)), "1")
    assert caught.value.code == ErrorCode.MODEL_INVALID


def test_a_model_without_batches_takes_one_frame_at_a_time() -> None:
    text = COMPLETE.replace("max_batch_size: 8", "max_batch_size: 0").replace("[ -1, -1, 3 ]", "[ -1, -1, -1, 3 ]")
    assert parse_contract(parse(text), "1").max_batch == 1


RECURRENT = """
name: "steady"
max_batch_size: 0
input [ { name: "FRAMES_IN" data_type: TYPE_UINT8 dims: [ -1, -1, -1, 3 ] },
        { name: "STATE_IN" data_type: TYPE_FP32 dims: [ 16, -1, -1 ] } ]
output [ { name: "STATE_OUT" data_type: TYPE_FP32 dims: [ 16, -1, -1 ] },
         { name: "FRAMES_OUT" data_type: TYPE_UINT8 dims: [ -1, -1, -1, 3 ] } ]
parameters { key: "scale" value: { string_value: "2" } }
parameters { key: "size_multiple" value: { string_value: "4" } }
parameters { key: "license" value: { string_value: "Apache-2.0" } }
parameters { key: "description" value: { string_value: "Remembers." } }
parameters { key: "overlap" value: { string_value: "12" } }
parameters { key: "max_pixels" value: { string_value: "921600" } }
parameters { key: "memory_bytes" value: { string_value: "1000000" } }
parameters { key: "bytes_per_pixel" value: { string_value: "400" } }
parameters { key: "max_batch" value: { string_value: "6" } }
parameters { key: "STATE_IN.shape" value: { string_value: "16, height/4, width*2" } }
"""


def test_a_recurrent_models_contract_says_what_it_remembers() -> None:
    contract = parse_contract(parse(RECURRENT), "1")
    (state,) = contract.state
    assert (contract.input, contract.output) == ("FRAMES_IN", "FRAMES_OUT")
    assert (state.input, state.output, state.datatype) == ("STATE_IN", "STATE_OUT", "FP32")
    assert state.shape(360, 640) == (16, 90, 1280)
    assert contract.state_bytes(360, 640) == 16 * 90 * 1280 * 4
    assert contract.remembers
    assert contract.max_batch == 6


def test_what_was_measured_and_how_to_tile_is_in_the_contract() -> None:
    contract = parse_contract(parse(RECURRENT), "1")
    assert (contract.overlap, contract.max_pixels) == (12, 921_600)
    assert (contract.memory_bytes, contract.bytes_per_pixel) == (1_000_000, 400)


PLAIN = """
name: "plain"
max_batch_size: 8
input [ { name: "IN" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]
output [ { name: "OUT" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]
parameters { key: "scale" value: { string_value: "1" } }
parameters { key: "size_multiple" value: { string_value: "1" } }
parameters { key: "license" value: { string_value: "MIT" } }
parameters { key: "description" value: { string_value: "Plain." } }
"""


def test_what_need_not_be_said_is_neutral() -> None:
    contract = parse_contract(parse(PLAIN), "1")
    assert (contract.overlap, contract.max_pixels, contract.state) == (None, 0, ())
    assert not contract.remembers


@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [
        ('key: "max_batch"', 'key: "other"', "max_batch is missing"),
        ('key: "STATE_IN.shape"', 'key: "other"', "STATE_IN.shape is missing"),
        ("16, height/4, width*2", "16, height/3, width", "divides sizes"),
        ("16, height/4, width*2", "16, depth, width", "'depth' is not"),
        ("16, height/4, width*2", "16, height", "does not fit its dims"),
        ("16, height/4, width*2", "8, height, width", "does not fit its dims"),
        ("16, height/4, width*2", "0, height, width", "'0' is not"),
        ('name: "STATE_OUT"', 'name: "MEMORY"', "no output STATE_OUT"),
        ('"STATE_OUT" data_type: TYPE_FP32', '"STATE_OUT" data_type: TYPE_FP16', "differ in type"),
        ("max_batch_size: 0", "max_batch_size: 8", "input is not"),
        ('key: "overlap" value: { string_value: "12" }', 'key: "overlap" value: { string_value: "-1" }', "overlap is"),
    ],
)
def test_a_wrong_recurrent_contract_names_what_is_wrong(before: str, after: str, missing: str) -> None:
    assert before in RECURRENT
    with pytest.raises(StepError, match=missing) as caught:
        parse_contract(parse(RECURRENT.replace(before, after)), "1")
    assert caught.value.code == ErrorCode.MODEL_INVALID


@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [
        ('key: "scale"', 'key: "other"', "scale is missing"),
        ('string_value: "2"', 'string_value: "two"', "scale is 'two'"),
        ('string_value: "2"', 'string_value: "0"', "scale is '0'"),
        ('key: "license"', 'key: "other"', "license is missing"),
        ("[ -1, -1, 3 ]", "[ 3, -1, -1 ]", "input is not"),
        ("TYPE_UINT8", "TYPE_FP32", "input is not"),
        ("output [", "input [", "input is not"),
    ],
)
def test_a_contract_with_something_missing_names_it(before: str, after: str, missing: str) -> None:
    assert before in COMPLETE
    with pytest.raises(StepError, match=missing) as caught:
        parse_contract(parse(COMPLETE.replace(before, after)), "1")
    assert caught.value.code == ErrorCode.MODEL_INVALID
