"""Boxes as people write them, and which models the step takes."""

from __future__ import annotations

import pytest

from framewire.cli.options import read_steps
from framewire.errors import ErrorCode, InvalidRequest, StepError
from framewire.steps import catalogue
from framewire.steps.inpaint import MOST_BOXES, Box, read_boxes
from framewire.steps.parse import parse_step
from framewire.v1.job_pb2 import CreateJobRequest
from framewire.v1.step_pb2 import Denoise, Enhance, Inpaint, ModelInfo, Step
from gateway.validation import validate

LAMA = ModelInfo(name="lama", scale=1, takes_mask=True)
DENOISE = ModelInfo(name="denoise", scale=1)
X2 = ModelInfo(name="enhance_x2", scale=2)
SERVED = [LAMA, DENOISE, X2]
ASSET = "ast_" + "a" * 26


def checked(step: Step) -> list[tuple[str, str]]:
    try:
        validate(CreateJobRequest(input_asset_ids=[ASSET], steps=[step]))
    except InvalidRequest as error:
        return [(violation.field, violation.description) for violation in error.violations]
    return []


def test_boxes_are_read_in_their_order() -> None:
    first, second = read_boxes("120x40+600+10/8x6+0+0")
    assert first == Box(left=600, top=10, right=720, bottom=50)
    assert (second.width, second.height, str(second)) == (8, 6, "8x6+0+0")


def test_a_step_as_it_is_written_is_taken() -> None:
    step = parse_step("inpaint:boxes=120x40+600+10/8x6+0+0,model=lama")
    assert step.inpaint == Inpaint(boxes="120x40+600+10/8x6+0+0", model="lama")
    assert checked(step) == []
    assert checked(Step(inpaint=Inpaint(boxes="/".join(["1x1+0+0"] * MOST_BOXES), model="lama"))) == []


@pytest.mark.parametrize(
    "boxes",
    [
        "120x40",
        "0x40+1+1",
        "40x0+1+1",
        "120x40-1+1",
        "120x40+1+1/",
        "1x1+1+1,2x2+2+2",
        "1x1+123456+0",
        "/".join(["1x1+0+0"] * (MOST_BOXES + 1)),
    ],
)
def test_boxes_that_cannot_be_read_are_refused_at_the_gateway_and_in_the_runner(boxes: str) -> None:
    ((field, words),) = checked(Step(inpaint=Inpaint(boxes=boxes, model="lama")))
    assert field == "steps[0].inpaint.boxes"
    assert "120x40+600+10" in words
    with pytest.raises(StepError, match=r"120x40\+600\+10"):
        read_boxes(boxes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inpaint:boxes=8x6+0+0", "framewire models import"),
        ("inpaint:model=lama", "name what is to be filled"),
        ("inpaint:boxes=8x6,model=lama", "120x40"),
    ],
)
def test_a_command_refuses_what_cannot_be_done_before_the_film_goes_up(text: str, words: str) -> None:
    with pytest.raises(StepError, match=words) as caught:
        read_steps((text,))
    assert caught.value.code == ErrorCode.STEP_INVALID
    assert caught.value.violations[0].field.startswith("steps[0].inpaint.")


def test_what_is_missing_is_said_with_a_way_to_it() -> None:
    ((field, words),) = checked(Step(inpaint=Inpaint(boxes="8x6+0+0")))
    assert field == "steps[0].inpaint.model"
    assert "framewire models import" in words
    assert [field for field, _ in checked(Step(inpaint=Inpaint(model="lama")))] == ["steps[0].inpaint.boxes"]


@pytest.mark.parametrize(
    ("step", "field", "words"),
    [
        (Step(inpaint=Inpaint(boxes="8x6+0+0", model="denoise")), "inpaint.model", "takes no mask"),
        (Step(denoise=Denoise(model="lama")), "denoise.model", "use it with inpaint"),
        (Step(enhance=Enhance(model="lama")), "enhance.model", "use it with inpaint"),
    ],
)
def test_a_model_of_another_kind_is_refused_with_a_way_out(step: Step, field: str, words: str) -> None:
    with pytest.raises(StepError, match=words) as caught:
        catalogue.check_models([step], SERVED)
    assert caught.value.code == ErrorCode.STEP_INVALID
    assert caught.value.violations[0].field == f"steps[0].{field}"


def test_each_step_lists_the_models_it_can_use() -> None:
    listed = {step.name: [model.name for model in step.models] for step in catalogue.list_steps(SERVED)}
    assert listed == {
        "enhance": ["denoise", "enhance_x2"],
        "denoise": ["denoise"],
        "cut_silence": [],
        "inpaint": ["lama"],
    }


def test_the_rule_of_boxes_is_said_in_words() -> None:
    rules = {parameter.name: parameter.rule for parameter in catalogue.get_step("inpaint").parameters}
    assert rules["boxes"].startswith("takes boxes WIDTHxHEIGHT+LEFT+TOP")
