"""The enhance step and the table of steps."""

from __future__ import annotations

import pytest
from jobs import server_with

from coordinator.steps.registry import STEPS, prepare_steps
from framewire.errors import ErrorCode, StepError
from framewire.steps.catalogue import models_of
from framewire.steps.contract import DEFAULT_DENOISE_MODEL, DEFAULT_ENHANCE_MODEL, DEFAULT_MODELS, rounds
from framewire.testing.inference import FakeInferenceServer, fake_contract
from framewire.v1.step_pb2 import Denoise, Enhance, Step


def test_the_default_model_is_used_when_none_is_named() -> None:
    (step,) = prepare_steps([Step(enhance=Enhance(scale=2))], FakeInferenceServer())
    assert (step.scale, step.size_multiple, step.max_batch) == (2, 1, 8)
    assert DEFAULT_ENHANCE_MODEL == "enhance_x2"


def test_denoise_takes_a_model_that_does_not_scale_and_no_other() -> None:
    server = FakeInferenceServer([fake_contract(DEFAULT_DENOISE_MODEL, scale=1), fake_contract("x2")])
    (step,) = prepare_steps([Step(denoise=Denoise())], server)
    assert (step.scale, step.max_batch) == (1, 8)
    with pytest.raises(StepError, match="use it with enhance") as failure:
        prepare_steps([Step(denoise=Denoise(model="x2"))], server)
    assert failure.value.code == ErrorCode.STEP_INVALID


def test_the_model_follows_the_scale_where_the_table_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEFAULT_MODELS, "enhance", {0: "x2", 4: "x4"})  # type: ignore[misc]  # a dict behind a Mapping
    server = FakeInferenceServer([fake_contract("x2"), fake_contract("x4", scale=4)])
    steps = [Step(enhance=Enhance()), Step(enhance=Enhance(scale=2)), Step(enhance=Enhance(scale=4))]
    assert [step.scale for step in prepare_steps(steps, server)] == [2, 2, 4]
    assert models_of(steps) == {"x2", "x4"}


def test_four_times_is_twice_twice() -> None:
    steps = prepare_steps([Step(enhance=Enhance(scale=4))], FakeInferenceServer())
    assert [step.scale for step in steps] == [2, 2]


@pytest.mark.parametrize(
    ("scale", "wanted", "expected"), [(2, 2, 1), (2, 4, 2), (4, 4, 1), (2, 3, 0), (4, 2, 0), (1, 2, 0), (1, 1, 1)]
)
def test_a_model_is_applied_as_often_as_the_scale_asks_for(scale: int, wanted: int, expected: int) -> None:
    assert rounds(scale, wanted) == expected


def test_a_scale_the_model_never_gets_to_is_refused_with_the_one_it_has() -> None:
    with pytest.raises(StepError, match="2 times larger, not 3; ask for scale=2") as failure:
        prepare_steps([Step(enhance=Enhance(scale=3))], FakeInferenceServer())
    assert failure.value.code == ErrorCode.STEP_INVALID


def test_a_model_nobody_serves_is_unknown() -> None:
    with pytest.raises(StepError) as failure:
        prepare_steps([Step(enhance=Enhance(model="dream"))], server_with(2))
    assert failure.value.code == ErrorCode.MODEL_UNKNOWN


def test_a_step_without_a_kind_is_unknown() -> None:
    with pytest.raises(StepError) as failure:
        prepare_steps([Step()], server_with(2))
    assert failure.value.code == ErrorCode.STEP_UNKNOWN


def test_every_step_of_the_contract_has_an_implementation() -> None:
    steps = {*STEPS, "cut_silence"}  # which does nothing to frames: `coordinator.cutting` and the pipeline do it
    assert steps == {field.name for field in Step.DESCRIPTOR.oneofs_by_name["kind"].fields}
