"""The catalogue says what the contract says."""

from __future__ import annotations

import pytest

from framewire.errors import ErrorCode, NotFound, StepError
from framewire.steps import catalogue
from framewire.steps.contract import DEFAULT_ENHANCE_MODEL
from framewire.v1 import asset_pb2, job_pb2, step_pb2
from framewire.v1.operations_pb2 import RefusedModel
from framewire.v1.step_pb2 import LANE_GPU, Enhance, ModelInfo, Step

X2 = ModelInfo(name=DEFAULT_ENHANCE_MODEL, scale=2)
X4 = ModelInfo(name="other_x4", scale=4)


def test_every_step_of_the_contract_is_declared_and_described():
    steps = {step.name: step for step in catalogue.list_steps()}
    assert (
        steps.keys()
        == catalogue.DECLARATIONS.keys()
        == {field.name for field in Step.DESCRIPTOR.oneofs_by_name["kind"].fields}
    )
    for step in steps.values():
        assert step.description
        assert step.lane
        assert step.limits.max_dimension > 0
        assert all(parameter.description and parameter.type for parameter in step.parameters)


def test_defaults_are_declared_for_parameters_that_exist():
    for step in catalogue.list_steps():
        names = {parameter.name for parameter in step.parameters}
        assert catalogue.DECLARATIONS[step.name].defaults.keys() <= names


def test_parameters_carry_type_rule_default_and_comment():
    scale, model = catalogue.get_step("enhance").parameters
    assert (scale.name, scale.type, scale.rule, scale.default_value) == ("scale", "integer", "1 to 4", "")
    assert scale.description.startswith("How many times larger")
    assert (model.type, model.default_value) == ("string", DEFAULT_ENHANCE_MODEL)


@pytest.mark.parametrize(
    ("message", "field", "words"),
    [
        (asset_pb2.CreateUploadRequest, "size_bytes", "1 to 524288000"),
        (job_pb2.CreateJobRequest, "idempotency_key", "at most 128 characters"),
        (job_pb2.OutputSettings, "crf", "at most 51"),
        (job_pb2.ListJobsRequest, "state", ""),
        (asset_pb2.Asset, "filename", ""),
        (step_pb2.CutSilence, "mincut", "must be a length of time such as 0.2s or 200ms"),
    ],
)
def test_rules_read_like_words(message, field, words):
    assert catalogue.rule_in_words(message.DESCRIPTOR.fields_by_name[field]) == words


def test_a_choice_is_listed():
    rule = catalogue.rule_in_words(job_pb2.OutputSettings.DESCRIPTOR.fields_by_name["preset"])
    assert rule.startswith("one of ultrafast, superfast")


def test_a_step_that_does_not_exist_is_unknown():
    with pytest.raises(NotFound) as caught:
        catalogue.get_step("sharpen")
    assert caught.value.code == ErrorCode.STEP_UNKNOWN
    assert "enhance" in caught.value.message


def test_models_that_are_served_are_shown_with_the_step():
    assert list(catalogue.get_step("enhance", [X2, X4]).models) == [X2, X4]


@pytest.mark.parametrize(
    ("filename", "result"),
    [
        ("cars_432p.mp4", "cars_432p-enhanced.mp4"),
        ("holiday.final.MKV", "holiday.final-enhanced.mp4"),
        ("noending", "noending-enhanced.mp4"),
        ("x" * 255, "x" * 242 + "-enhanced.mp4"),
    ],
)
def test_the_result_is_named_after_the_input(filename, result):
    assert catalogue.result_filename(filename, [Step(enhance=Enhance())]) == result


def test_steps_that_need_a_gpu_take_the_job_there():
    assert catalogue.lane_of([Step(enhance=Enhance())]) == LANE_GPU


def test_the_default_model_counts_as_wanted():
    assert catalogue.models_of([Step(enhance=Enhance()), Step(enhance=Enhance(model="m"))]) == {
        DEFAULT_ENHANCE_MODEL,
        "m",
    }


def test_nothing_is_said_about_models_while_none_is_served():
    catalogue.check_models([Step(enhance=Enhance(model="anything", scale=3))], [])


def test_a_model_nobody_serves_is_unknown_and_the_known_ones_are_named():
    with pytest.raises(StepError) as caught:
        catalogue.check_models([Step(enhance=Enhance()), Step(enhance=Enhance(model="nope"))], [X2, X4])
    assert caught.value.code == ErrorCode.MODEL_UNKNOWN
    assert f"{X2.name}, {X4.name}" in caught.value.message
    assert caught.value.violations[0].field == "steps[1].enhance.model"


@pytest.mark.parametrize("code", [ErrorCode.MODEL_INVALID, ErrorCode.MODEL_TOO_LARGE])
def test_a_model_that_cannot_be_used_says_why(code):
    refused = RefusedModel(name="mine", reason="parameter license is missing", code=code)
    with pytest.raises(StepError, match="license is missing") as caught:
        catalogue.check_models([Step(enhance=Enhance(model="mine"))], [X2], refused={"mine": refused})
    assert caught.value.code == code
    assert caught.value.violations[0].field == "steps[0].enhance.model"


def test_a_scale_the_model_does_not_have_is_invalid():
    catalogue.check_models([Step(enhance=Enhance(scale=2)), Step(enhance=Enhance(scale=4, model=X4.name))], [X2, X4])
    with pytest.raises(StepError) as caught:
        catalogue.check_models([Step(enhance=Enhance(scale=3))], [X2, X4])
    assert caught.value.code == ErrorCode.STEP_INVALID
    assert caught.value.violations[0].field == "steps[0].enhance.scale"
