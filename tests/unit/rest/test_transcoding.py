"""Every shape of google.api.http, over real HTTP. docs/rest.md has the table of what other transcoders do."""

from __future__ import annotations

import base64

import pytest

from gateway.rest.template import compile_template


@pytest.mark.parametrize(
    ("template", "path", "variables"),
    [
        ("/v1/jobs/{job_id}", "/v1/jobs/a%2Fb", {"job_id": "a/b"}),
        ("/v1/jobs/{job_id}:cancel", "/v1/jobs/a:cancel", {"job_id": "a"}),
        ("/v1/jobs/{job_id}:cancel", "/v1/jobs/a:b:cancel", {"job_id": "a:b"}),
        ("/v1/{name=shelves/*/books/*}", "/v1/shelves/1/books/2", {"name": "shelves/1/books/2"}),
        ("/v1/{name=files/**}", "/v1/files/a/b%20c%2Fd", {"name": "files/a/b c%2Fd"}),
        ("/v1/{name=files/**}", "/v1/files", {"name": "files"}),
        ("/v1/{name=**}:read", "/v1/a/b:read", {"name": "a/b"}),
        ("/v1/{name=**}", "/v1", {"name": ""}),
        ("/v1/*/x/**", "/v1/a/x/b/c", {}),
        ("/v1/{a.b.c}/{d=*}", "/v1/1/2", {"a.b.c": "1", "d": "2"}),
    ],
)
def test_a_path_gives_its_variables(template, path, variables):
    assert compile_template(template).match(path) == variables


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/v1/jobs/{job_id}", "/v1/jobs/"),
        ("/v1/jobs/{job_id}", "/v1/jobs/a/b"),
        ("/v1/jobs", "/v1/jobs/"),
        ("/v1/jobs", "/v1/Jobs"),
        ("/v1/{name=shelves/*}", "/v1/books/1"),
        ("/v1/jobs/{job_id}:cancel", "/v1/jobs/a"),
    ],
)
def test_another_path_is_another_path(template, path):
    assert compile_template(template).match(path) is None


@pytest.mark.parametrize(
    "template", ["v1", "/v1/{", "/v1/{a", "/v1/**/x", "/v1/{a}/{a}", "/v1//x", "/v1/{a=}", "/{A-b}"]
)
def test_what_is_no_template_is_refused(template):
    with pytest.raises(ValueError, match=r".+"):
        compile_template(template)


QUERIES = [
    ("count=-5", {"count": -5}),
    ("large=-9223372036854775808", {"large": "-9223372036854775808"}),
    ("huge=18446744073709551615", {"huge": "18446744073709551615"}),
    ("small=7&s32=-7&f64=8", {"small": 7, "s32": -7, "f64": "8"}),
    ("real=1.5&wide=-2e10", {"real": 1.5, "wide": -2e10}),
    ("wide=NaN", {"wide": "NaN"}),
    ("flag=true", {"flag": True}),
    ("flag=1", {"flag": True}),
    ("flag=False", {}),
    ("data=aGk%3D", {"data": "aGk="}),
    ("data=-_8", {"data": "+/8="}),
    ("data=%2B/8%3D", {"data": "+/8="}),
    ("data=+/8%3D", {"data": "+/8="}),
    ("colour=COLOUR_RED", {"colour": "COLOUR_RED"}),
    ("colour=2", {"colour": "COLOUR_BLUE"}),
    ("names=a&names=b", {"names": ["a", "b"]}),
    ("numbers=1&numbers=2", {"numbers": [1, 2]}),
    ("colours=COLOUR_RED&colours=2", {"colours": ["COLOUR_RED", "COLOUR_BLUE"]}),
    ("inner.title=x&inner.count=3", {"inner": {"title": "x", "count": "3"}}),
    ("inner.deeper.deeper.title=x", {"inner": {"deeper": {"deeper": {"title": "x"}}}}),
    ("inner.tags=a&inner.tags=b", {"inner": {"tags": ["a", "b"]}}),
    ("labels[a]=1&labels[b.c]=2", {"labels": {"a": 1, "b.c": 2}}),
    ("time=2026-11-21T12:00:00Z", {"time": "2026-11-21T12:00:00Z"}),
    ("time=2026-11-21T12:00:00.5%2B01:00", {"time": "2026-11-21T11:00:00.500Z"}),
    (
        "times=2026-11-21T12:00:00Z&times=2026-11-22T12:00:00Z",
        {"times": ["2026-11-21T12:00:00Z", "2026-11-22T12:00:00Z"]},
    ),
    ("span=3.5s", {"span": "3.500s"}),
    ("update_mask=inner.title,max_count", {"updateMask": "inner.title,maxCount"}),
    ("updateMask=inner.title,maxCount", {"updateMask": "inner.title,maxCount"}),
    ("maybe_text=", {"maybeText": ""}),
    ("maybe_number=0", {"maybeNumber": "0"}),
    ("maybe_flag=false", {"maybeFlag": False}),
    ("maybe_data=aGk%3D", {"maybeData": "aGk="}),
    ("value=%5B1%2Cnull%5D", {"value": [1.0, None]}),
    ("struct=%7B%22a%22%3A1%7D", {"struct": {"a": 1.0}}),
    ("left=x", {"left": "x"}),
    ("perhaps=0", {"perhaps": 0}),
    ("renamed=x", {"renamed": "x"}),
    ("other=x", {"renamed": "x"}),
    ("maybeText=a%20b", {"maybeText": "a b"}),
    ("", {}),
]


@pytest.mark.parametrize(("query", "answer"), QUERIES)
async def test_a_query_parameter_is_a_field(server, query, answer):
    assert await server.call("GET", f"/v1/everything?{query}") == (200, answer)


REFUSED = [
    ("colour=RED", "colour"),
    ("nothing=1", "nothing"),
    ("inner=x", "inner"),
    ("inner.nothing=1", "inner.nothing"),
    ("inner.title.x=1", "inner.title.x"),
    ("inners.title=x", "inners.title"),
    ("names.x=1", "names.x"),
    ("count=5&count=6", "count"),
    ("count=five", "count"),
    ("count=1_000", "count"),
    ("count=%D9%A1", "count"),
    ("count=", "count"),
    ("count=2147483648", "count"),
    ("small=-1", "small"),
    ("flag=yes", "flag"),
    ("data=%25", "data"),
    ("labels=x", "labels"),
    ("labels[a]=x", "labels[a]"),
    ("labels[a]=1&labels[a]=2", "labels[a]"),
    ("by_name[a]=x", "by_name[a]"),
    ("time=yesterday", "time"),
    ("span=3", "span"),
    ("left=x&right=y", None),
    ("struct=%7B", "struct"),
    ("." * 40 + "=1", "." * 40),
    ("inner" + ".deeper" * 40 + ".title=1", None),
]


@pytest.mark.parametrize(("query", "field"), REFUSED)
async def test_a_parameter_that_is_no_field_or_no_value_is_refused(server, query, field):
    status, answer = await server.call("GET", f"/v1/everything?{query}")
    assert (status, answer["code"]) == (400, 3)
    violations = [each for each in answer["details"] if each["@type"].endswith("BadRequest")]
    if field is not None:
        assert violations[0]["fieldViolations"][0]["field"] == field


async def test_the_path_fills_nested_fields_and_every_kind_of_scalar(server):
    assert await server.call("GET", "/v1/by-inner/a%20b/7") == (200, {"inner": {"title": "a b", "count": "7"}})
    assert await server.call("GET", "/v1/flags/true/COLOUR_RED") == (200, {"flag": True, "colour": "COLOUR_RED"})
    assert await server.call("GET", "/v1/flags/1/2") == (200, {"flag": True, "colour": "COLOUR_BLUE"})
    assert (await server.call("GET", "/v1/flags/maybe/2"))[0] == 400
    assert (await server.call("GET", "/v1/by-inner/a/x"))[0] == 400


async def test_a_variable_of_several_segments_keeps_its_slashes(server):
    assert await server.call("GET", "/v1/shelves/1/books/2") == (200, {"name": "shelves/1/books/2"})
    assert await server.call("GET", "/v1/files/a/b%2Fc%20d") == (200, {"name": "a/b%2Fc d"})
    assert await server.call("GET", "/v1/files/a/b:read") == (200, {"name": "a/b"})
    assert await server.call("GET", "/v1/files") == (200, {})


async def test_the_most_specific_address_is_meant_whatever_was_declared_first(server):
    assert await server.call("GET", "/v1/files/fixed?name=x") == (200, "x")


async def test_a_path_that_is_no_utf_8_is_refused(server):
    assert (await server.call("GET", "/v1/files/%ff"))[0] == 400


async def test_the_rest_of_the_message_stands_in_the_query_beside_a_body_that_is_one_field(server):
    status, answer = await server.call("PUT", "/v1/inner/n?count=5", json={"title": "x", "count": "3"})
    assert (status, answer) == (200, {"name": "n", "count": 5, "inner": {"title": "x", "count": "3"}})
    assert (await server.call("PUT", "/v1/inner/n?inner.title=y", json={"title": "x"}))[0] == 400


async def test_a_body_may_be_a_list(server):
    assert await server.call("POST", "/v1/list/n", json=["a", "b"]) == (200, {"name": "n", "names": ["a", "b"]})


async def test_a_whole_body_leaves_nothing_to_the_query(server):
    assert await server.call("POST", "/v1/everything:echo", json={"count": 5}) == (200, {"count": 5})
    assert (await server.call("POST", "/v1/everything:echo?name=x", json={"count": 5}))[0] == 400


async def test_a_patch_without_a_mask_names_what_it_sends(server):
    status, answer = await server.call("PATCH", "/v1/inner/n", json={"title": "x", "deeper": {"count": "1"}})
    assert (status, answer["updateMask"]) == (200, "title,deeper.count")
    status, answer = await server.call("PATCH", "/v1/inner/n?update_mask=title", json={"title": "x", "count": "1"})
    assert answer["updateMask"] == "title"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/answers/n/inner?inner.title=x", {"title": "x"}),
        ("/v1/answers/n/inner", {}),
        ("/v1/answers/n/names?names=a", ["a"]),
        ("/v1/answers/n/names", []),
        ("/v1/answers/n/count", 0),
    ],
)
async def test_an_answer_may_be_one_field(server, path, answer):
    assert await server.call("GET", path) == (200, answer)


async def test_an_http_method_of_ones_own_has_an_address_too(server):
    assert await server.call("REPORT", "/v1/everything?count=1") == (200, {"count": 1})


async def test_bytes_go_and_come_under_their_own_type(server):
    for verb, path in (("POST", "/v1/raw"), ("PUT", "/v1/blobs/x")):
        headers = {"Content-Type": "image/png"}
        async with server.http.request(verb, server.url(path), data=b"\x89PNG\0", headers=headers) as answer:
            assert (answer.status, await answer.read()) == (200, b"\x89PNG\0")
            assert answer.content_type == "image/png"


async def test_a_stream_of_bytes_is_the_bytes(server):
    async with server.http.get(server.url("/v1/pieces/a-b-c")) as answer:
        assert (answer.content_type, await answer.read()) == ("text/plain", b"abc")


async def test_base64_in_json_is_bytes(server):
    data = base64.b64encode(b"\xff\xfe").decode()
    assert await server.call("POST", "/v1/everything:echo", json={"data": data}) == (200, {"data": data})
