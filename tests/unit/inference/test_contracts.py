"""Contracts out of config.pbtxt."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from coordinator.inference.contracts import parse_contract
from exporters.config import config_text
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


def test_a_model_without_batches_takes_one_frame_at_a_time() -> None:
    assert parse_contract(parse(COMPLETE.replace("max_batch_size: 8", "max_batch_size: 0")), "1").max_batch == 1


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
    assert caught.value.code == ErrorCode.MODEL_UNKNOWN
