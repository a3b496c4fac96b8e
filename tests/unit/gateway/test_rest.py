"""HTTP and JSON as the contract's annotations say."""

from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from framewire.errors import ErrorCode, InvalidRequest
from framewire.v1.asset_pb2 import CompleteUploadRequest
from framewire.v1.job_pb2 import JOB_STATE_RUNNING, CreateJobRequest, ListJobsRequest, WatchJobRequest
from gateway.methods import public_methods
from gateway.rest.routes import routes_of
from gateway.rest.settings import HttpSettings
from gateway.rest.transcode import request_message, to_json


def test_every_public_method_that_http_can_ask_has_an_address_of_its_own():
    addresses = [(route.verb, route.path) for method in public_methods() for route in routes_of(method)]
    assert len(set(addresses)) == len([method for method in public_methods() if not method.takes_stream])
    assert ("POST", "/v1/assets/{asset_id}:complete") in addresses


def a_request(kind, *, path=None, query=(), body=None):
    return request_message(kind, path=path or {}, query=query, body=body)


@pytest.mark.parametrize("name", ["page_size", "pageSize"])
def test_query_parameters_go_by_both_spellings(name):
    request = a_request(ListJobsRequest, query=[(name, "5"), ("state", "JOB_STATE_RUNNING")])
    assert (request.page_size, request.state) == (5, JOB_STATE_RUNNING)


def test_an_enum_may_be_given_by_number():
    assert a_request(ListJobsRequest, query=[("state", "3")]).state == JOB_STATE_RUNNING


def test_a_64_bit_query_parameter_keeps_all_its_digits():
    request = a_request(WatchJobRequest, path={"job_id": "j"}, query=[("after_event", "18446744073709551615")])
    assert request.after_event == 2**64 - 1


def test_the_path_is_part_of_the_message():
    assert a_request(CompleteUploadRequest, path={"asset_id": "a"}, body=b"").asset_id == "a"
    assert a_request(CompleteUploadRequest, path={"asset_id": "a"}, body=b'{"assetId":"a"}').asset_id == "a"


def test_absent_is_not_zero():
    body = b'{"priority":0,"output":{"crf":0},"steps":[{"enhance":{}}]}'
    request = a_request(CreateJobRequest, body=body)
    assert request.HasField("priority")
    assert request.output.HasField("crf")
    assert not request.steps[0].enhance.HasField("scale")
    assert to_json(request) == '{"steps":[{"enhance":{}}],"output":{"crf":0},"priority":0}'


@pytest.mark.parametrize(
    ("kind", "parts", "field"),
    [
        (ListJobsRequest, {"query": [("colour", "red")]}, "colour"),
        (ListJobsRequest, {"query": [("page_size", "5"), ("pageSize", "6")]}, "pageSize"),
        (ListJobsRequest, {"query": [("page_size", "five")]}, None),
        (ListJobsRequest, {"query": [("state", "SLEEPING")]}, None),
        (CreateJobRequest, {"query": [("priority", "1")], "body": b"{}"}, "priority"),
        (CreateJobRequest, {"body": b'{"colour":"red"}'}, None),
        (CreateJobRequest, {"body": b'{"output":{"colour":1}}'}, "output"),
        (CreateJobRequest, {"body": b'{"steps":[{"enhance":{"scale":"big"}}]}'}, None),
        (CreateJobRequest, {"body": b'{"priority":1,"priority":2}'}, None),
        (CreateJobRequest, {"body": b"[]"}, None),
        (CreateJobRequest, {"body": b"{"}, None),
        (CreateJobRequest, {"body": b"\xff"}, None),
        (CreateJobRequest, {"body": b"[" * 100_000}, None),
        (CreateJobRequest, {"body": b'{"output":' * 5_000 + b"1" + b"}" * 5_000}, None),
        (CompleteUploadRequest, {"path": {"asset_id": "a"}, "body": b'{"asset_id":"b"}'}, "asset_id"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_one_line(kind, parts, field):
    with pytest.raises(InvalidRequest) as caught:
        a_request(kind, **parts)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300
    if field is not None:
        assert caught.value.violations[0].field == field


@pytest.mark.parametrize(
    ("kind", "parts", "message"),
    [
        (ListJobsRequest, {"query": [("page_size", "abc")]}, "page_size: 'abc' is not a whole number"),
        (ListJobsRequest, {"query": [("page_size", "99999999999")]}, "page_size: 99999999999 is out of range"),
        (ListJobsRequest, {"query": [("state", "SLEEPING")]}, "state: there is no value 'SLEEPING'"),
        (CreateJobRequest, {"body": b'{"colour":"red"}'}, "there is no field 'colour'"),
        (CreateJobRequest, {"body": b'{"priority":1.5}'}, "priority: '1.5' is not a whole number"),
        (CreateJobRequest, {"body": b'{"steps":{}}'}, "steps: must be a list"),
        (CreateJobRequest, {"body": b'{"inputAssetIds":[1]}'}, "inputAssetIds: must be a string"),
        (
            CreateJobRequest,
            {"body": b'{"steps":[{"enhance":{"colour":1}}]}'},
            "steps[0].enhance: there is no field 'colour'",
        ),
        (
            CreateJobRequest,
            {"body": b'{"steps":[{"enhance":{"scale":"abc"}}]}'},
            "steps.scale: 'abc' is not a whole number",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words_of_the_contract(kind, parts, message):
    with pytest.raises(InvalidRequest) as caught:
        a_request(kind, **parts)
    assert caught.value.message == message


def test_a_step_nobody_knows_has_the_code_it_has_on_the_command_line():
    with pytest.raises(InvalidRequest, match="no step 'sharpen'; there are: enhance") as caught:
        a_request(CreateJobRequest, body=b'{"steps":[{"enhance":{}},{"sharpen":{}}]}')
    assert caught.value.code is ErrorCode.STEP_UNKNOWN
    assert caught.value.violations[0].field == "steps[1]"


async def test_a_body_that_is_not_what_its_encoding_says_is_refused_and_leaves_one_line_in_the_log(here, caplog):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with here.http.post(here.url("/v1/jobs"), data=b"\x1f\x8b garbage", headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["details"][0]["reason"] == "INVALID_ARGUMENT"
    assert not [record for record in caplog.records if record.exc_info]


async def test_what_is_not_http_leaves_one_line_in_the_log(here, caplog):
    reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.rest.port)
    writer.write(b"GET / HTTP/9.9\r\n\r\n")
    async with asyncio.timeout(5):
        assert b" 400 " in await reader.readline()
    writer.close()
    assert [record.levelname for record in caplog.records if "not HTTP" in record.getMessage()] == ["INFO"]
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_body_that_does_not_come_is_not_waited_for_forever(here, monkeypatch):
    monkeypatch.setattr(here.gateway.rest, "_settings", HttpSettings(body_timeout=0.05))
    reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.rest.port)
    head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    writer.write(head.encode())
    async with asyncio.timeout(5):
        assert b" 400 " in await reader.readline()
    writer.close()


async def test_an_event_id_longer_than_any_is_refused_shortly(here):
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "9" * 5000}
    async with here.http.get(here.url(f"/v1/jobs/job_{'0' * 26}:watch"), headers=headers) as answer:
        assert answer.status == 400
        assert len((await answer.json())["message"]) < 100


async def test_a_known_address_says_which_methods_it_takes(here):
    for verb, path in (("PUT", "/v1/jobs"), ("POST", "/v1/jobs/x:explode"), ("POST", "/healthz")):
        async with here.http.request(verb, here.url(path)) as answer:
            assert answer.status == 405
            assert verb not in answer.headers["Allow"].split(", ")
            assert (await answer.json())["details"][0]["reason"] == "METHOD_NOT_ALLOWED"


async def test_an_address_that_does_not_exist_is_not_found(here):
    for verb, path in (("GET", "/v2/jobs"), ("PUT", "/v1"), ("POST", "/v1/jobs/x/y")):
        async with here.http.request(verb, here.url(path)) as answer:
            assert answer.status == 404
            assert (await answer.json())["details"][0]["reason"] == "NOT_FOUND"


async def test_a_body_of_another_type_is_refused_so_that_pages_of_other_sites_cannot_send_it(here):
    async with here.http.post(here.url("/v1/assets"), data=b'{"filename":"x","sizeBytes":1}') as answer:
        assert answer.status == 400
        assert "application/json" in (await answer.json())["message"]


async def _post_nothing(here, **headers: str) -> int:
    """What a form without fields, or fetch without a body, sends."""
    async with here.http.post(
        here.url("/v1/lanes/LANE_GPU:pause"), headers=headers, skip_auto_headers=["Content-Type"]
    ) as answer:
        return answer.status


@pytest.mark.parametrize(
    ("origin", "kind"),
    [
        ("https://evil.example", ""),
        ("https://evil.example", "application/x-www-form-urlencoded"),
        ("https://evil.example", "Text/Plain; charset=x"),
        ("null", ""),
    ],
)
async def test_a_page_of_another_site_cannot_send_an_empty_body_either(here, origin, kind):
    assert await _post_nothing(here, Origin=origin, **({"Content-Type": kind} if kind else {})) == 400
    async with here.http.get(here.url("/v1/lanes")) as answer:
        assert not any(lane.get("paused") for lane in (await answer.json())["lanes"])


async def test_an_empty_body_comes_from_programs_own_pages_and_pages_that_may_call(here, with_settings):
    assert await _post_nothing(here) == 200
    assert await _post_nothing(here, Origin=here.url("")) == 200
    async with with_settings(http=HttpSettings(origins=("https://app.example",))) as there:
        assert await _post_nothing(there, Origin="https://app.example") == 200
        assert await _post_nothing(there, Origin="https://app.example.evil.example") == 400


async def test_a_body_that_is_too_large_is_refused(here):
    body = {"filename": "x" * (2 << 20), "sizeBytes": 1}
    async with here.http.post(here.url("/v1/assets"), json=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["details"][0]["reason"] == "INVALID_ARGUMENT"


async def test_pages_of_a_list_are_followed_by_their_token(here):
    asset_id = (await here.upload()).asset_id
    made = sorted([(await here.submit(asset_id)).job_id for _ in range(5)], reverse=True)
    seen, token = [], ""
    while True:
        async with here.http.get(here.url("/v1/jobs"), params={"pageSize": 2, "pageToken": token}) as answer:
            page = await answer.json()
        seen += [job["jobId"] for job in page["jobs"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert seen == made
    async with here.http.get(here.url("/v1/assets"), params={"pageSize": 1}) as answer:
        assert "nextPageToken" not in await answer.json()


async def test_a_page_token_of_another_list_is_refused(here):
    asset_id = (await here.upload()).asset_id
    for _ in range(2):
        await here.submit(asset_id)
    async with here.http.get(here.url("/v1/jobs"), params={"pageSize": 1}) as answer:
        token = (await answer.json())["nextPageToken"]
    for path in ("/v1/assets", "/v1/jobs?state=JOB_STATE_QUEUED"):
        async with here.http.get(here.url(path), params={"pageToken": token}) as answer:
            assert (await answer.json())["details"][0]["reason"] == "PAGE_TOKEN_INVALID"


async def test_the_front_page_names_the_service(here):
    async with here.http.get(here.url("/")) as answer:
        assert (await answer.json())["service"] == "framewire"
    async with here.http.get(here.url("/healthz")) as answer:
        assert answer.status == 200


async def test_readiness_names_what_is_missing(here, monkeypatch):
    async with here.http.get(here.url("/readyz")) as answer:
        assert answer.status == 200
        assert (await answer.json())["dependencies"] == dict.fromkeys(("gateway", "database", "bus", "store"), "ok")

    async def away(key: str) -> None:
        raise OSError("no route")

    monkeypatch.setattr(here.store, "head", away)
    async with here.http.get(here.url("/readyz")) as answer:
        assert answer.status == 503
        assert (await answer.json())["dependencies"]["store"] == "INTERNAL"


@pytest.mark.parametrize("path", ["/v1/workers/a%0Ab:drain", "/%0A", "/v1/jobs/%E2%80%A8%0D%0A"])
async def test_an_address_with_a_line_feed_is_answered_like_any_other(here, path):
    async with here.http.post(URL(here.url(path), encoded=True), json={}) as answer:
        assert answer.content_type == "application/json"  # not the text that aiohttp answers by itself
        assert answer.headers["x-request-id"]
