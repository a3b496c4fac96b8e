"""The parameters of cut_silence as they are written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from framewire.cli.options import read_steps
from framewire.edits.decide import CUT, KEEP, Action, Range
from framewire.errors import ErrorCode, InvalidRequest, StepError
from framewire.steps.catalogue import get_step
from framewire.steps.cut_silence import check_cuts, read_action, read_cut_settings, read_ranges, read_ratio
from framewire.steps.parse import format_step, parse_step
from framewire.v1.step_pb2 import CutSilence, Enhance, Step


def test_the_defaults_are_those_of_auto_editor() -> None:
    settings = read_cut_settings(CutSilence())
    assert (settings.threshold, settings.rules.before, settings.rules.behind) == (0.04, Fraction(1, 5), Fraction(1, 5))
    assert (settings.rules.mincut, settings.rules.minclip) == (Fraction(1, 5), Fraction(1, 10))
    assert (settings.rules.silent, settings.rules.loud) == (CUT, KEEP)
    assert settings.smart


def test_everything_can_be_written_on_a_command_line() -> None:
    step = parse_step(
        "cut_silence:detector=speech,threshold=-28dB,margin=0.1s\\,300ms,mincut=1s,minclip=50ms,track=2,motion=0.1,"
        "silent=speed:4+volume:0.5,loud=volume:1.5,always_keep=0-5.5+1:02:30-1:02:45+90:00-,always_cut=7-8,"
        "fade=10ms,smart=no"
    )
    settings = read_cut_settings(step.cut_silence)
    assert round(settings.threshold, 4) == 0.0398
    assert (settings.rules.before, settings.rules.behind) == (Fraction(1, 10), Fraction(3, 10))
    assert settings.rules.silent == Action(speed=Fraction(4), volume=Fraction(1, 2))
    assert settings.rules.always_keep == (
        Range(start=Fraction(0), end=Fraction(11, 2)),
        Range(start=Fraction(3750), end=Fraction(3765)),
        Range(start=Fraction(5400), end=None),
    )
    assert (settings.track, settings.motion, settings.fade, settings.smart) == ("2", 0.1, Fraction(1, 100), False)
    assert parse_step(format_step(step)) == step


def test_a_list_of_cuts_is_read_from_a_file_as_an_estimate_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text('{"cuts": {"spans": [{"start": "0s", "end": "1.5s"}]}, "secondsIn": 3}')
    (step,) = read_steps((f"cut_silence:cuts=@{file}",))
    settings = read_cut_settings(step.cut_silence)
    assert settings.cuts is not None
    assert settings.cuts.taken == Fraction(3, 2)
    assert not settings.hears
    assert parse_step(format_step(step)) == step


def test_a_file_of_cuts_that_is_not_there_is_said() -> None:
    with pytest.raises(InvalidRequest, match=r"cannot read nowhere\.json"):
        read_steps(("cut_silence:cuts=@nowhere.json",))


@pytest.mark.parametrize(
    ("parameters", "fields"),
    [
        ({"threshold": "1.5"}, ["threshold"]),
        ({"always_keep": "9-5"}, ["always_keep"]),
        ({"always_cut": "1:2:3:4-"}, ["always_cut"]),
        ({"silent": "speed:0"}, ["silent"]),
        ({"fade": "2s"}, ["fade"]),
        ({"silent": "cut", "loud": "cut"}, ["loud"]),
        ({"always_keep": "9-5", "loud": "speed:200"}, ["loud", "always_keep"]),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_field_that_says_it(
    parameters: dict[str, str], fields: list[str]
) -> None:
    steps = [Step(enhance=Enhance()), Step(cut_silence=CutSilence(**parameters))]
    with pytest.raises(StepError) as caught:
        check_cuts(steps)
    assert caught.value.code == ErrorCode.STEP_INVALID
    assert [each.field for each in caught.value.violations] == [f"steps[1].cut_silence.{name}" for name in fields]


def test_a_film_is_cut_once() -> None:
    with pytest.raises(StepError) as caught:
        check_cuts([Step(cut_silence=CutSilence()), Step(cut_silence=CutSilence())])
    assert caught.value.violations[0].field == "steps[1].cut_silence"


@pytest.mark.parametrize(("text", "ratio"), [("0.04", 0.04), ("4%", 0.04), ("-20dB", 0.1), (".5", 0.5), ("1", 1)])
def test_a_threshold_is_a_ratio_a_percentage_or_decibels(text: str, ratio: float) -> None:
    assert read_ratio(text) == pytest.approx(ratio)


@pytest.mark.parametrize("text", ["speed", "speed:", "speed:1+speed:2", "mute", "", "volume:loud", "speed:1000"])
def test_an_action_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|number|takes"):
        read_action(text)


def test_no_ranges_are_no_ranges() -> None:
    assert read_ranges("") == ()


def test_the_catalogue_describes_every_parameter() -> None:
    info = get_step("cut_silence")
    assert all(parameter.description for parameter in info.parameters)
    assert {parameter.name: parameter.type for parameter in info.parameters}["cuts"] == "object"
