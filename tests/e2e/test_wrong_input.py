"""Wrong input gives one typed line and a failure, the same code on the command line, over gRPC and over REST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from local_stack import Stack

from framewire.v1.job_pb2 import CreateJobRequest, GetJobRequest
from framewire.v1.job_pb2_grpc import JobServiceStub
from framewire.v1.step_pb2 import Enhance, Step

NO_JOB = "job_00000000000000000000000000"
NO_ASSET = "ast_00000000000000000000000000"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "missing.mp4", "--step", "enhance", "-o", "out.mp4"], "FILE_NOT_FOUND"),
        (["run", "text.mp4", "--step", "enhance", "-o", "out.mp4"], "UPLOAD_TYPE_UNSUPPORTED"),
        (["run", "broken.mp4", "--step", "enhance", "-o", "out.mp4"], "MEDIA_UNREADABLE"),
        (["run", "text.mp4", "--step", "polish", "-o", "out.mp4"], "STEP_UNKNOWN"),
        (["run", "text.mp4", "--step", "enhance:scale=0", "-o", "out.mp4"], "INVALID_ARGUMENT"),
        (["run", "text.mp4", "--step", "enhance:scale=3", "-o", "out.mp4"], "STEP_INVALID"),
        (["run", "text.mp4", "--step", "enhance:model=nobody", "-o", "out.mp4"], "MODEL_UNKNOWN"),
        (["run", "text.mp4", "--step", "enhance", "-o", "no/such/folder/out.mp4"], "FILE_UNWRITABLE"),
        (["get", NO_JOB], "JOB_NOT_FOUND"),
        (["watch", NO_JOB], "JOB_NOT_FOUND"),
        (["cancel", NO_JOB], "JOB_NOT_FOUND"),
        (["get", "nonsense"], "INVALID_ARGUMENT"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_command_line_says_it_in_one_line(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: str
) -> None:
    (tmp_path / "text.mp4").write_text("This is not a film.\n" * 100)
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(1000))  # begins like an MP4
    monkeypatch.chdir(tmp_path)
    answer = stack.run(*arguments)
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert line.startswith(f"framewire: {code}: ")
    assert not (tmp_path / "out.mp4").exists()


async def grpc_code(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    details = rpc_status.from_call(failed.value).details
    info = ErrorInfo()
    assert any(detail.Unpack(info) for detail in details)
    return info.reason


async def rest_code(stack: Stack, method: str, path: str, body: object = None) -> tuple[int, str]:
    url = stack.state["rest"] + path
    async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as answer:
        status = await answer.json()
    return answer.status, next(detail["reason"] for detail in status["details"] if "reason" in detail)


async def test_grpc_and_rest_answer_with_the_same_codes(stack: Stack) -> None:
    async with grpc.aio.insecure_channel(stack.state["grpc"]) as channel:
        jobs = JobServiceStub(channel)
        assert await grpc_code(jobs.GetJob(GetJobRequest(job_id=NO_JOB))) == "JOB_NOT_FOUND"
        assert await grpc_code(jobs.GetJob(GetJobRequest(job_id="nonsense"))) == "INVALID_ARGUMENT"
        zero = CreateJobRequest(input_asset_ids=[NO_ASSET], steps=[Step(enhance=Enhance(scale=0))])
        assert await grpc_code(jobs.CreateJob(zero)) == "INVALID_ARGUMENT"
        unknown = CreateJobRequest(input_asset_ids=[NO_ASSET], steps=[Step()])
        assert await grpc_code(jobs.CreateJob(unknown)) == "STEP_UNKNOWN"
        none = CreateJobRequest(input_asset_ids=[NO_ASSET], steps=[Step(enhance=Enhance())])
        assert await grpc_code(jobs.CreateJob(none)) == "ASSET_NOT_FOUND"
    assert await rest_code(stack, "GET", f"/v1/jobs/{NO_JOB}") == (404, "JOB_NOT_FOUND")
    assert await rest_code(stack, "GET", "/v1/jobs/nonsense") == (400, "INVALID_ARGUMENT")
    zero_body = {"inputAssetIds": [NO_ASSET], "steps": [{"enhance": {"scale": 0}}]}
    assert await rest_code(stack, "POST", "/v1/jobs", zero_body) == (400, "INVALID_ARGUMENT")
    unknown_step = {"inputAssetIds": [NO_ASSET], "steps": [{"polish": {}}]}
    assert await rest_code(stack, "POST", "/v1/jobs", unknown_step) == (404, "STEP_UNKNOWN")
    assert await rest_code(stack, "GET", "/v1/nothing") == (404, "NOT_FOUND")
