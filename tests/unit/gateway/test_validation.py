"""What a rule refuses is said for people."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.message import Message

from exporters.cli.bring_in import default_name
from framewire.errors import InvalidRequest
from framewire.v1 import asset_pb2, job_pb2, step_pb2
from gateway.methods import SERVICES
from gateway.validation import validate

ASSET = "ast_01m7z5699nbq8tnx7wj3zdw7n1"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (job_pb2.GetJobRequest(job_id="nonsense"), "job_id: this is not a job id"),
        (job_pb2.WatchJobRequest(), "job_id: this is not a job id"),
        (asset_pb2.GetAssetRequest(asset_id="nonsense"), "asset_id: this is not an asset id"),
        (
            job_pb2.CreateJobRequest(input_asset_ids=["x"], steps=[step_pb2.Step(enhance=step_pb2.Enhance())]),
            "input_asset_ids[0]: this is not an asset id",
        ),
        (
            job_pb2.CreateJobRequest(
                input_asset_ids=[ASSET], steps=[step_pb2.Step(enhance=step_pb2.Enhance(model="a b"))]
            ),
            "steps[0].enhance.model: this is not a model's name",
        ),
        (asset_pb2.CreateUploadRequest(filename="a/b", size_bytes=1), "filename: this is not a file name"),
        (asset_pb2.CreateUploadRequest(filename="a", size_bytes=1, sha256="X"), "sha256: this is not a SHA-256"),
    ],
)
def test_what_a_pattern_refuses_is_said_without_the_pattern(request_: Message, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validate(request_)
    assert caught.value.message.startswith(words)
    assert "regex" not in caught.value.message


@pytest.mark.parametrize("file", ["4x-Photo V2.pth", "RealESRGAN_x4plus.pth", "2x.model-1.safetensors"])
def test_a_model_can_be_used_by_the_name_it_was_imported_under(file: str) -> None:
    name = default_name(Path(file))
    for step in (
        step_pb2.Step(enhance=step_pb2.Enhance(model=name)),
        step_pb2.Step(denoise=step_pb2.Denoise(model=name)),
    ):
        validate(job_pb2.CreateJobRequest(input_asset_ids=[ASSET], steps=[step]))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("threshold", "loud", "must be a ratio"),
        ("margin", "0.2", "must be a length of time"),
        ("silent", "fast", "must be cut, keep, speed:4"),
        ("always_cut", "now", "takes ranges such as"),
    ],
)
def test_a_parameter_of_a_step_that_cannot_be_read_is_told_how_it_is_written(name: str, value: str, words: str) -> None:
    step = step_pb2.Step(cut_silence=step_pb2.CutSilence(**{name: value}))
    with pytest.raises(InvalidRequest) as caught:
        validate(job_pb2.EstimateJobRequest(input_asset_ids=[ASSET], steps=[step]))
    assert caught.value.message.startswith(f"steps[0].cut_silence.{name}: {words}")


def texts_of(message: Message) -> list[str]:
    return [
        field.name for field in message.DESCRIPTOR.fields if field.type == field.TYPE_STRING and not field.is_repeated
    ]


def test_no_text_of_a_step_is_refused_by_a_bare_pattern() -> None:
    for kind in step_pb2.Step.DESCRIPTOR.oneofs_by_name["kind"].fields:
        step = step_pb2.Step()
        for name in texts_of(getattr(step, kind.name)):
            setattr(getattr(step, kind.name), name, "\n!")
        said = words_of(job_pb2.CreateJobRequest(input_asset_ids=[ASSET], steps=[step]))
        assert said, kind.name
        assert not any("regex" in words for words in said), said


def words_of(request: Message) -> list[str]:
    try:
        validate(request)
    except InvalidRequest as error:
        return [each.description for each in error.violations]
    return []


def test_no_field_of_a_request_is_refused_by_a_bare_pattern() -> None:
    """A field that gets a pattern gets words too."""
    said = []
    for method in (method for service in SERVICES for method in service.methods):
        request = method.input_type._concrete_class()
        for field in request.DESCRIPTOR.fields:
            if field.type == field.TYPE_STRING and not field.is_repeated:
                setattr(request, field.name, "\n!")
        said += words_of(request)
    assert any("this is not a job id" in words for words in said)
    assert not any("regex" in words for words in said)
