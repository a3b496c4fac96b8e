"""How a result may be written: what is refused before anything is uploaded."""

from __future__ import annotations

import pytest

from framewire.cli.words import fidelity_warnings, fidelity_words
from framewire.errors import ErrorCode, StepError
from framewire.steps import catalogue
from framewire.steps.output import CODECS, CONTAINERS, check_output, codec_of, container_of
from framewire.v1.job_pb2 import (
    CONTAINER_MKV,
    CONTAINER_WEBM,
    VIDEO_CODEC_H264,
    VIDEO_CODEC_HEVC,
    FidelityReport,
    FrameChecks,
    Omission,
    OutputSettings,
    TagFidelity,
)
from framewire.v1.step_pb2 import Enhance, Step


@pytest.mark.parametrize("codec", [VIDEO_CODEC_H264, VIDEO_CODEC_HEVC])
def test_webm_takes_av1_alone(codec: int) -> None:
    with pytest.raises(StepError) as refusal:
        check_output(OutputSettings(codec=codec, container=CONTAINER_WEBM))
    assert refusal.value.code == ErrorCode.STEP_INVALID
    assert refusal.value.violations[0].field == "output.codec"


def test_webm_is_written_in_av1_when_no_codec_is_named() -> None:
    assert codec_of(OutputSettings(container=CONTAINER_WEBM)) == "av1"
    assert codec_of(OutputSettings(container=CONTAINER_MKV)) == "h264"
    assert codec_of(OutputSettings()) == "h264"


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_other_containers_take_every_codec(codec: str, container: str) -> None:
    settings = OutputSettings(codec=CODECS[codec], container=CONTAINERS[container])
    check_output(settings)
    assert (codec_of(settings), container_of(settings)) == (codec, container)


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_results_name_ends_as_its_container_does(container: str) -> None:
    steps = [Step(enhance=Enhance())]
    settings = OutputSettings(container=CONTAINERS[container])
    assert catalogue.result_filename("cars.avi", steps, settings) == f"cars-enhanced.{container}"
    assert catalogue.result_filename("cars.avi", steps, OutputSettings()) == "cars-enhanced.mp4"


def test_what_was_not_kept_is_told_in_words() -> None:
    report = FidelityReport(
        held_frames=3,
        tags=[
            TagFidelity(name="rotation", before="90 degrees", after="90 degrees", kept=True),
            TagFidelity(name="metadata mood", before="blue", after="", kept=False),
        ],
        left_out=[Omission(what="data track 2 (unknown)", why="tracks of data are not understood here")],
        checks=FrameChecks(frames=100, black=2, frozen=5),
    )
    assert "3 held; 1 tags kept, 1 changed" in fidelity_words(report)
    assert fidelity_warnings(report) == [
        "left out: data track 2 (unknown): tracks of data are not understood here",
        "changed: metadata mood: blue -> none",
        "frames at fault, of 100: 2 black, 5 frozen; look at the result",
    ]
