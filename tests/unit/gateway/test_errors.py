"""The same mistake gives the same error on every wire."""

from __future__ import annotations

import logging

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from framewire.errors import ErrorCode, FramewireError, InvalidRequest, Unavailable, Violation
from framewire.v1.asset_pb2 import CreateUploadRequest, GetAssetRequest
from framewire.v1.job_pb2 import CreateJobRequest, GetJobRequest, ListJobsRequest, WatchJobRequest
from framewire.v1.operations_pb2 import ListWorkersRequest
from framewire.v1.step_pb2 import Enhance, GetStepRequest, Step
from gateway import errors

NO_ASSET = "ast_0000000000000000000000000z"
NO_JOB = "job_0000000000000000000000000z"


def test_every_code_has_a_status_and_every_status_an_http_status():
    assert errors.STATUSES.keys() == set(ErrorCode)
    assert set(errors.STATUSES.values()) <= errors.HTTP.keys()


def test_a_status_carries_code_request_id_retryability_and_fields():
    error = InvalidRequest("scale: no", violations=[Violation("scale", "no")])
    reason, request_id, fields = read(errors.to_status(error, "r1"))
    assert (reason, request_id, fields) == ("INVALID_ARGUMENT", "r1", [("scale", "no")])
    info = error_details_pb2.ErrorInfo()
    errors.to_status(Unavailable("away", code=ErrorCode.BUS_UNAVAILABLE), "r1").details[0].Unpack(info)
    assert (info.domain, info.metadata["retryable"]) == ("framewire", "true")


def read(status: status_pb2.Status) -> tuple[str, str, list[tuple[str, str]]]:
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.RequestInfo()
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        for message in (info, request, bad):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    return info.reason, request.request_id, [(each.field, each.description) for each in bad.field_violations]


def a_job(scale: int) -> CreateJobRequest:
    return CreateJobRequest(input_asset_ids=[NO_ASSET], steps=[Step(enhance=Enhance(scale=scale))])


UNKNOWN_STEP = CreateJobRequest(input_asset_ids=[NO_ASSET], steps=[Step.FromString(b"\xfa\x07\x00")])

MISTAKES = [
    pytest.param(
        ("assets", "GetAsset", GetAssetRequest(asset_id="nope")), ("GET", "/v1/assets/nope", None),
        "INVALID_ARGUMENT", ["asset_id"], id="an asset id that is none",
    ),
    pytest.param(
        ("assets", "GetAsset", GetAssetRequest(asset_id=NO_ASSET)), ("GET", f"/v1/assets/{NO_ASSET}", None),
        "ASSET_NOT_FOUND", [], id="an asset nobody knows",
    ),
    pytest.param(
        ("jobs", "GetJob", GetJobRequest(job_id=NO_JOB)), ("GET", f"/v1/jobs/{NO_JOB}", None),
        "JOB_NOT_FOUND", [], id="a job nobody knows",
    ),
    pytest.param(
        ("jobs", "CreateJob", a_job(scale=0)),
        ("POST", "/v1/jobs", {"inputAssetIds": [NO_ASSET], "steps": [{"enhance": {"scale": 0}}]}),
        "INVALID_ARGUMENT", ["steps[0].enhance.scale"], id="scale=0",
    ),
    pytest.param(
        ("jobs", "CreateJob", a_job(scale=2)),
        ("POST", "/v1/jobs", {"input_asset_ids": [NO_ASSET], "steps": [{"enhance": {"scale": 2}}]}),
        "ASSET_NOT_FOUND", [], id="a job of an asset nobody knows",
    ),
    pytest.param(
        ("jobs", "CreateJob", UNKNOWN_STEP),
        ("POST", "/v1/jobs", {"inputAssetIds": [NO_ASSET], "steps": [{"sharpen": {}}]}),
        "STEP_UNKNOWN", ["steps[0]"], id="a step nobody knows",
    ),
    pytest.param(
        ("steps", "GetStep", GetStepRequest(name="sharpen")), ("GET", "/v1/steps/sharpen", None),
        "STEP_UNKNOWN", [], id="a step the catalogue does not have",
    ),
    pytest.param(
        ("jobs", "ListJobs", ListJobsRequest(page_token="made-up")), ("GET", "/v1/jobs?pageToken=made-up", None),
        "PAGE_TOKEN_INVALID", ["page_token"], id="a page token that is none",
    ),
    pytest.param(
        ("jobs", "ListJobs", ListJobsRequest(page_size=201)), ("GET", "/v1/jobs?page_size=201", None),
        "INVALID_ARGUMENT", ["page_size"], id="a page that is too large",
    ),
    pytest.param(
        ("assets", "CreateUpload", CreateUploadRequest(filename="../x", size_bytes=0)),
        ("POST", "/v1/assets", {"filename": "../x", "sizeBytes": 0}),
        "INVALID_ARGUMENT", ["filename", "size_bytes"], id="two fields at once",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("over_grpc", "over_rest", "code", "fields"), MISTAKES)
async def test_a_mistake_gives_one_error_on_both_wires(here, over_grpc, over_rest, code, fields):
    service, method, request = over_grpc
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(getattr(here, service), method)(request, metadata=[("x-request-id", "mine")])
    status = of_rpc(caught.value)
    assert read(status)[:2] == (code, "mine")
    assert_blames(status, fields)
    verb, path, body = over_rest
    async with here.http.request(verb, here.url(path), json=body, headers={"X-Request-Id": "mine"}) as answer:
        over_http = json_format.ParseDict(await answer.json(), status_pb2.Status())
        assert answer.headers["X-Request-Id"] == "mine"
    assert read(over_http)[:2] == (code, "mine")
    assert_blames(over_http, fields)
    assert over_http.code == status.code == errors.STATUSES[ErrorCode(code)].value[0]
    assert answer.status == errors.HTTP[errors.STATUSES[ErrorCode(code)]]
    assert "\n" not in over_http.message + status.message


def assert_blames(status: status_pb2.Status, fields: list[str]) -> None:
    """The violations are of these fields or inside them: JSON stops at an unknown name, a rule goes deeper."""
    blamed = [field for field, _ in read(status)[2]]
    assert len(blamed) == len(fields)
    assert all(field.startswith(expected) for field, expected in zip(blamed, fields, strict=True))


def of_rpc(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    trailers = dict(error.trailing_metadata())
    return status_pb2.Status.FromString(trailers["grpc-status-details-bin"])


async def test_watching_a_job_nobody_knows_is_the_same_error_on_both_wires(here):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.jobs.WatchJob(WatchJobRequest(job_id=NO_JOB)).read()
    assert read(of_rpc(caught.value))[0] == "JOB_NOT_FOUND"
    async with here.http.get(here.url(f"/v1/jobs/{NO_JOB}:watch"), headers={"Accept": "text/event-stream"}) as answer:
        assert answer.status == 404
        assert read(json_format.ParseDict(await answer.json(), status_pb2.Status()))[0] == "JOB_NOT_FOUND"


async def test_bytes_that_are_no_message_are_an_invalid_argument(here):
    call = here.channel.unary_unary("/framewire.v1.JobService/GetJob")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\xff\xff\xff")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_unexpected_error_is_logged_and_leaves_without_its_details(here, monkeypatch, caplog):
    def fail(*_: object) -> None:
        raise ValueError("the secret is 42")

    monkeypatch.setattr(here.bus.workers, "live", fail)
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.operations.ListWorkers(ListWorkersRequest(), metadata=[("x-request-id", "mine")])
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert "mine" in caught.value.details()
    assert "secret" not in str(of_rpc(caught.value))
    assert "the secret is 42" in caplog.text


async def test_a_request_id_that_could_forge_a_log_line_is_replaced(here):
    async with here.http.get(here.url("/v1/steps"), headers={"X-Request-Id": "a b\tc"}) as answer:
        assert answer.headers["X-Request-Id"] != "a b\tc"
        assert len(answer.headers["X-Request-Id"]) == 26


def test_only_typed_errors_leave():
    def let_through(error: Exception) -> None:
        with errors.only_typed("r1"):
            raise error

    with pytest.raises(FramewireError) as caught:
        let_through(KeyError("x"))
    assert caught.value.code == ErrorCode.INTERNAL
    with pytest.raises(InvalidRequest):
        let_through(InvalidRequest("no"))
