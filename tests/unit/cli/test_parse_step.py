"""Steps written on a command line."""

from __future__ import annotations

import pytest

from framewire.errors import ErrorCode, InvalidRequest
from framewire.steps.parse import format_step, parse_step, step_names
from framewire.v1.step_pb2 import Enhance, Step


@pytest.mark.parametrize(
    ("text", "enhance"),
    [
        ("enhance", Enhance()),
        ("enhance:scale=2", Enhance(scale=2)),
        ("enhance:model=upscale_bicubic_x2", Enhance(model="upscale_bicubic_x2")),
        (" enhance:scale = 2 , model = m ", Enhance(scale=2, model="m")),
        ("enhance:scale=0", Enhance(scale=0)),
        ("enhance:model=a\\,b", Enhance(model="a,b")),
        ("enhance:model=a=b", Enhance(model="a=b")),
    ],
)
def test_a_step_is_read_into_its_message(text: str, enhance: Enhance) -> None:
    assert parse_step(text) == Step(enhance=enhance)


def test_a_scale_of_zero_is_kept_apart_from_no_scale() -> None:
    assert parse_step("enhance:scale=0").enhance.HasField("scale")
    assert not parse_step("enhance").enhance.HasField("scale")


@pytest.mark.parametrize("text", ["sharpen", "", ":scale=2", "Enhance:scale=2", "{}"])
def test_an_unknown_step_is_refused_with_the_list_of_known_ones(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_step(text)
    assert caught.value.code is ErrorCode.STEP_UNKNOWN
    assert caught.value.message.endswith("there are: " + ", ".join(step_names()))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("enhance:size=2", "there is no parameter 'size'; there are: scale, model"),
        ("enhance:scale=two", "scale must be a whole number, not 'two'"),
        ("enhance:scale=2.5", "scale must be a whole number, not '2.5'"),
        ("enhance:scale=", "scale must be a whole number, not ''"),
        ("enhance:scale=2,scale=3", "scale is given twice"),
        ("enhance:scale", "'scale' is not of the form parameter=value"),
        ("enhance:", "'' is not of the form parameter=value"),
        ("enhance:=2", "'=2' is not of the form parameter=value"),
        ("enhance:scale=-1", "scale"),
        ("enhance:scale=99999999999", "scale"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match="enhance: ") as caught:
        parse_step(text)
    assert caught.value.code is ErrorCode.STEP_INVALID
    assert why in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cut_silence:detector=vad", "detector must be one of level, speech, motion, not 'vad'"),
        ("cut_silence:margin=0.2s,0.5s", "a comma inside a value is written \\,"),
        ("cut_silence:cuts=list.json", "named with @: cuts=@list.json"),
    ],
)
def test_what_people_write_instead_is_answered_with_how_it_is_written(text: str, why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_step(text)
    assert why in caught.value.message


@pytest.mark.parametrize("text", ["enhance", "enhance:scale=2", "enhance:scale=2,model=a\\,b"])
def test_a_formatted_step_is_read_back_the_same(text: str) -> None:
    assert format_step(parse_step(text)) == text
