"""The OpenAPI document says what the server does."""

from __future__ import annotations

import json

import pytest
from google.protobuf import json_format
from openapi_spec_validator import validate as validate_document

from gateway.methods import public_methods
from gateway.openapi.document import openapi
from gateway.openapi.examples import example
from gateway.rest.routes import routes_of
from gateway.validation import validate

ROUTES = [route for method in public_methods() for route in routes_of(method)]


async def test_the_document_a_gateway_serves_is_valid_and_names_every_address(here):
    async with here.http.get(here.url("/openapi.json")) as answer:
        document = await answer.json()
    validate_document(document)
    assert document["openapi"].startswith("3.1")
    served = {(route.verb, route.path) for route in ROUTES}
    listed = {(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs}
    assert listed == served


def test_every_operation_is_described_and_says_how_it_fails():
    for path, verbs in openapi(ROUTES)["paths"].items():
        for verb, operation in verbs.items():
            assert operation["description"], f"{verb} {path}"
            assert {"400", "404", "429", "503"} <= set(operation["responses"])


def test_every_field_with_a_comment_has_it_as_its_description():
    schemas = openapi(ROUTES)["components"]["schemas"]
    assert "Server-chosen id" in schemas["Job"]["properties"]["jobId"]["description"]
    assert "`JOB_STATE_WAITING_UPLOAD`: An input is not uploaded yet." in schemas["JobState"]["description"]


def test_rules_of_the_contract_stand_in_the_schema():
    schemas = openapi(ROUTES)["components"]["schemas"]
    upload = schemas["CreateUploadRequest"]
    assert upload["required"] == ["filename", "sizeBytes"]
    assert upload["properties"]["filename"]["maxLength"] == 255
    assert schemas["CreateJobRequest"]["properties"]["steps"]["maxItems"] == 8
    assert upload["additionalProperties"] is False


@pytest.mark.parametrize("method", public_methods(), ids=lambda method: method.name)
def test_the_example_of_a_request_is_one_the_server_takes(method):
    request = json_format.ParseDict(example(method.descriptor.input_type), method.request())
    validate(request)
    json.dumps(example(method.descriptor.output_type))
