"""What a job would make: asked on gRPC and on REST, found out by the real program in its sandbox."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from talking_clips import Talk, make_talk

from framewire.edits.wire import cut_list_from_proto
from framewire.v1.asset_pb2 import CreateUploadRequest
from framewire.v1.job_pb2 import CUT_FORMAT_AUTO_EDITOR, CreateJobRequest, EstimateJobRequest, EstimateJobResponse
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU, CutSilence, Enhance, ModelInfo, Step
from gateway.estimates import EstimateSettings

REAL = EstimateSettings(
    program=(sys.executable, "-P", "-m", "coordinator.estimate"), environment={"OPENBLAS_NUM_THREADS": "1"}
)
TALK = Talk(seconds=6, words=((1, 2), (4, 5)))
KEPT = [(Fraction(4, 5), Fraction(11, 5)), (Fraction(19, 5), Fraction(26, 5))]  # with margins of 0.2 s

Installation = Any  # of conftest.py, which cannot be imported by its name
Installed = Callable[..., AbstractAsyncContextManager[Installation]]


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_talk(tmp_path_factory.mktemp("talk") / "talk.mp4", TALK).read_bytes()


@pytest.fixture
async def here(with_settings: Installed, tmp_path: Path) -> AsyncIterator[Installation]:
    async with with_settings(estimates=replace(REAL, scratch=tmp_path)) as installation:
        yield installation
    assert list(tmp_path.iterdir()) == []


def kept(answer: EstimateJobResponse) -> list[tuple[Fraction, Fraction]]:
    return [(span.start, span.end) for span in cut_list_from_proto(answer.steps[0].cut.cuts).spans]


def reason(error: grpc.aio.AioRpcError) -> str:
    details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    return next(code for code in ("ASSET_NOT_READY", "CUT_NOTHING_LEFT", "STEP_INVALID", "ESTIMATE_UNAVAILABLE",
                                  "MEDIA_UNREADABLE") if code.encode() in details)  # fmt: skip


async def test_an_estimate_says_what_is_kept_and_draws_it(here: Installation, talk: bytes) -> None:
    asset = await here.upload(talk)
    request = EstimateJobRequest(
        input_asset_ids=[asset.asset_id],
        steps=[Step(cut_silence=CutSilence())],
        exports=[CUT_FORMAT_AUTO_EDITOR],
    )
    answer = await here.jobs.EstimateJob(request)
    cut = answer.steps[0].cut
    assert kept(answer) == [
        (pytest.approx(start, abs=0.05), pytest.approx(end, abs=0.05))
        for start, end in KEPT  # AAC spreads a little
    ]
    assert cut.seconds_in == 6
    assert cut.seconds_kept + cut.seconds_cut == pytest.approx(6)
    assert (cut.joins, answer.lane) == (1, LANE_CPU)
    assert answer.video.frames == round(cut.seconds_out * 25)
    assert cut.picture.startswith(b"\x89PNG")
    assert int.from_bytes(cut.picture[16:20], "big") == 1600
    assert [chunk[2] for chunk in json.loads(cut.exports[0].data)["chunks"]] == [99999, 1, 99999, 1, 99999]


async def test_rest_gives_the_same_answer(here: Installation, talk: bytes) -> None:
    asset = await here.upload(talk)
    steps = [Step(cut_silence=CutSilence(threshold="-20dB"))]
    body = {"inputAssetIds": [asset.asset_id], "steps": [{"cutSilence": {"threshold": "-20dB"}}], "pictureWidth": 320}
    async with here.http.post(here.url("/v1/jobs:estimate"), json=body) as answer:
        assert answer.status == 200
        found = await answer.json()
    request = EstimateJobRequest(input_asset_ids=[asset.asset_id], steps=steps, picture_width=320)
    assert found == MessageToDict(await here.jobs.EstimateJob(request))
    assert base64.b64decode(found["steps"][0]["cut"]["picture"])[16:20] == (320).to_bytes(4, "big")


async def test_an_edited_list_is_taken_back_and_nothing_is_detected(here: Installation, talk: bytes) -> None:
    asset = await here.upload(talk)
    request = EstimateJobRequest(
        input_asset_ids=[asset.asset_id], steps=[Step(cut_silence=CutSilence())], picture_width=0
    )
    first = await here.jobs.EstimateJob(request)
    assert not first.steps[0].cut.picture
    edited = first.steps[0].cut.cuts
    del edited.spans[0]
    edited.spans[0].speed = 2
    again = EstimateJobRequest(input_asset_ids=[asset.asset_id], steps=[Step(cut_silence=CutSilence(cuts=edited))])
    answer = (await here.jobs.EstimateJob(again)).steps[0].cut
    assert answer.cuts == edited
    assert answer.seconds_out == pytest.approx(answer.seconds_kept / 2)
    assert (answer.joins, answer.picture[:4]) == (0, b"\x89PNG")


@pytest.mark.parametrize(("speed", "seconds", "frames"), [(2.0, 2.0, 50), (0.1, 21.0, 75)])
async def test_a_slower_part_has_no_more_frames_and_a_faster_one_as_many_a_second(
    here: Installation, talk: bytes, speed: float, seconds: float, frames: int
) -> None:
    asset, cut = await here.upload(talk), CutSilence()
    cut.cuts.spans.add(start={"seconds": 1}, end={"seconds": 2})
    cut.cuts.spans.add(start={"seconds": 3}, end={"seconds": 5}, speed=speed)
    answer = await here.jobs.EstimateJob(
        EstimateJobRequest(input_asset_ids=[asset.asset_id], steps=[Step(cut_silence=cut)])
    )
    assert (answer.duration, answer.video.frames) == (pytest.approx(seconds), frames)


async def test_steps_that_change_pictures_are_counted_in(here: Installation, talk: bytes) -> None:
    await here.announce(ModelInfo(name="upscale_bicubic_x2", scale=2))
    asset = await here.upload(talk)
    steps = [Step(cut_silence=CutSilence()), Step(enhance=Enhance(model="upscale_bicubic_x2"))]
    answer = await here.jobs.EstimateJob(EstimateJobRequest(input_asset_ids=[asset.asset_id], steps=steps))
    assert answer.lane == LANE_GPU
    assert [(each.name, each.video.width, each.video.height) for each in answer.steps] == [
        ("cut_silence", 96, 64),
        ("enhance", 192, 128),
    ]
    assert answer.steps[1].video.frames == answer.steps[0].video.frames == answer.video.frames
    assert answer.video.codec == "h264"


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (CutSilence(threshold="0.9"), "CUT_NOTHING_LEFT"),
        (CutSilence(always_keep="5-2"), "STEP_INVALID"),
        (CutSilence(track="7"), "STEP_INVALID"),
    ],
)
async def test_what_a_job_would_refuse_an_estimate_refuses(
    here: Installation, talk: bytes, step: CutSilence, code: str
) -> None:
    asset = await here.upload(talk)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.jobs.EstimateJob(
            EstimateJobRequest(input_asset_ids=[asset.asset_id], steps=[Step(cut_silence=step)])
        )
    assert reason(caught.value) == code


async def test_a_file_that_is_no_film_is_said(here: Installation) -> None:
    asset = await here.upload(b"not a film")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.jobs.EstimateJob(
            EstimateJobRequest(input_asset_ids=[asset.asset_id], steps=[Step(cut_silence=CutSilence())])
        )
    assert reason(caught.value) == "MEDIA_UNREADABLE"


async def test_a_job_with_ranges_nobody_can_read_is_refused(here: Installation, talk: bytes) -> None:
    asset = await here.upload(talk)
    with pytest.raises(grpc.aio.AioRpcError, match=r"steps\[0\]\.cut_silence\.always_keep") as caught:
        await here.jobs.CreateJob(
            CreateJobRequest(input_asset_ids=[asset.asset_id], steps=[Step(cut_silence=CutSilence(always_keep="9-5"))])
        )
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_input_that_is_not_uploaded_yet_is_refused(here: Installation) -> None:
    reserved = await here.assets.CreateUpload(CreateUploadRequest(filename="talk.mp4", size_bytes=9))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.jobs.EstimateJob(
            EstimateJobRequest(input_asset_ids=[reserved.asset.asset_id], steps=[Step(cut_silence=CutSilence())])
        )
    assert reason(caught.value) == "ASSET_NOT_READY"


@pytest.mark.parametrize("program", [(), ("/nowhere/at/all",), (sys.executable, "-c", "print('nonsense')")])
async def test_a_server_that_cannot_look_says_so(
    with_settings: Installed, tmp_path: Path, program: tuple[str, ...]
) -> None:
    async with with_settings(estimates=EstimateSettings(program=program, scratch=tmp_path)) as here:
        asset = await here.upload(b"bytes")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await here.jobs.EstimateJob(
                EstimateJobRequest(input_asset_ids=[asset.asset_id], steps=[Step(cut_silence=CutSilence())])
            )
        assert reason(caught.value) == "ESTIMATE_UNAVAILABLE"
    assert list(tmp_path.iterdir()) == []


async def test_more_than_may_wait_are_refused_at_once(with_settings: Installed, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    waiting = (sys.executable, "-c", f"import time; f = open({str(pipe)!r}, 'w'); time.sleep(600)")
    settings = EstimateSettings(program=waiting, scratch=tmp_path, at_once=1, waiting=1)
    async with with_settings(estimates=settings) as here:
        asset = await here.upload(b"bytes")
        request = EstimateJobRequest(input_asset_ids=[asset.asset_id], steps=[Step(cut_silence=CutSilence())])
        calls = [here.jobs.EstimateJob(request) for _ in range(3)]
        refused, _ = await asyncio.wait(
            [asyncio.ensure_future(call.code()) for call in calls], return_when=asyncio.FIRST_COMPLETED, timeout=20
        )
        assert [code.result() for code in refused] == [grpc.StatusCode.UNAVAILABLE]
        for call in calls:
            call.cancel()


async def test_a_caller_that_leaves_takes_the_program_with_it(with_settings: Installed, tmp_path: Path) -> None:
    # the program opens the pipe and waits for ever; the pipe's other end sees it open, and sees it gone
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    waiting = (sys.executable, "-c", f"import time; f = open({str(pipe)!r}, 'w'); time.sleep(600)")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    async with with_settings(estimates=EstimateSettings(program=waiting, scratch=scratch)) as here:
        asset = await here.upload(b"bytes")
        call = here.jobs.EstimateJob(
            EstimateJobRequest(input_asset_ids=[asset.asset_id], steps=[Step(cut_silence=CutSilence())])
        )
        end = await asyncio.wait_for(asyncio.to_thread(pipe.open, "rb"), 20)
        call.cancel()
        assert await asyncio.wait_for(asyncio.to_thread(end.read), 20) == b""
        end.close()
    assert list(scratch.iterdir()) == []  # the gateway has stopped, and with it what it was doing
