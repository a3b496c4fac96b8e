"""config.pbtxt as Triton itself reads it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from exporters.config import config_text
from exporters.declaration import INPUT, OUTPUT
from exporters.models import MODELS


def parse(text: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_triton_reads_frames_in_and_frames_out(model) -> None:
    config = parse(config_text(model))
    assert config.name == model.name
    assert config.backend == "onnxruntime"
    assert config.max_batch_size == model.max_batch
    for tensors, name in ((config.input, INPUT), (config.output, OUTPUT)):
        assert [tensor.name for tensor in tensors] == [name]
        assert tensors[0].data_type == model_config_pb2.TYPE_UINT8
        assert list(tensors[0].dims) == [-1, -1, 3]
    assert config.instance_group[0].count == model.instances


def test_text_with_quotes_and_other_letters_is_read_back_as_it_was() -> None:
    description = 'says "twice", C:\\path, naïve'
    config = parse(config_text(replace(MODELS[0], description=description)))
    assert config.parameters["description"].string_value == description
