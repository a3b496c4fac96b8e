"""The rules a bucket is given."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from framewire.errors import ErrorCode, LocalError
from framewire.storage.s3_lifecycle import Lifecycle, apply

SOMEBODY = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}}
ABORT = {
    "ID": "framewire-abort",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
}


@pytest.fixture
def client() -> Any:
    return boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")


def expect(stub: Stubber, *rules: dict[str, Any]) -> None:
    wanted = {"Bucket": "b", "LifecycleConfiguration": {"Rules": list(rules)}}
    stub.add_response("put_bucket_lifecycle_configuration", {}, wanted)


def lies(stub: Stubber, *folders: str, keys: tuple[str, ...] = (), below: str = "") -> None:
    answer = {
        "Contents": [{"Key": key} for key in keys],
        "CommonPrefixes": [{"Prefix": folder} for folder in folders],
    }
    asked = {"Bucket": "b", "Delimiter": "/", "Prefix": below}
    stub.add_response("list_objects_v2", answer, asked)


def test_rules_of_somebody_else_stay_and_our_old_ones_are_replaced(client: Any) -> None:
    old = {**ABORT, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 30}}
    archive = {"Transitions": [{"Days": 1, "StorageClass": "GLACIER_IR"}]}
    with Stubber(client) as stub:
        lies(stub, "default/")
        lies(stub, "default/assets/", "default/uploads/", below="default/")
        lies(stub, "default/assets/ast_1/", below="default/assets/")
        lies(stub, keys=("default/uploads/ast_1",), below="default/uploads/")
        stub.add_response("get_bucket_lifecycle_configuration", {"Rules": [SOMEBODY, old]}, {"Bucket": "b"})
        expect(
            stub,
            SOMEBODY,
            ABORT,
            {"ID": "framewire-archive", "Status": "Enabled", "Filter": {"Prefix": ""}, **archive},
            {"ID": "framewire-delete", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 21}},
        )
        apply(client, "b", Lifecycle(archive_class="GLACIER_IR", delete_after=21))
        stub.assert_no_pending_responses()


def test_a_bucket_without_rules_gets_ours(client: Any) -> None:
    with Stubber(client) as stub:
        lies(stub)
        stub.add_client_error("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
        expect(stub, ABORT)
        apply(client, "b", Lifecycle())
        stub.assert_no_pending_responses()


def test_rules_that_cannot_be_read_are_not_overwritten(client: Any) -> None:
    with Stubber(client) as stub:
        lies(stub)
        stub.add_client_error("get_bucket_lifecycle_configuration", "AccessDenied")
        with pytest.raises(ClientError):
            apply(client, "b", Lifecycle())


@pytest.mark.parametrize("strange", ["readme.txt", "photos/", "site/uploads/cat.jpg"])
def test_a_bucket_with_things_of_somebody_else_gets_no_rules(client: Any, strange: str) -> None:
    with Stubber(client) as stub:
        lie_strangely(stub, strange)
        stub.add_client_error("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
        with pytest.raises(LocalError, match=f"{strange}.*bucket of its own") as caught:
            apply(client, "b", Lifecycle(delete_after=21))
        assert caught.value.code == ErrorCode.CONFIG_INVALID


def test_rules_a_bucket_has_of_ours_are_taken_back_when_somebody_else_moves_in(client: Any) -> None:
    for others in ([SOMEBODY], []):
        with Stubber(client) as stub:
            lie_strangely(stub, "readme.txt")
            stub.add_response("get_bucket_lifecycle_configuration", {"Rules": [*others, ABORT]}, {"Bucket": "b"})
            if others:
                expect(stub, *others)
            else:
                stub.add_response("delete_bucket_lifecycle", {}, {"Bucket": "b"})
            with pytest.raises(LocalError):
                apply(client, "b", Lifecycle(delete_after=21))
            stub.assert_no_pending_responses()


def lie_strangely(stub: Stubber, strange: str) -> None:
    match strange:
        case "readme.txt":
            lies(stub, "default/", keys=(strange,))
        case "photos/":
            lies(stub, "default/", strange)
            lies(stub, "default/assets/", below="default/")
            lies(stub, below="default/assets/")
            lies(stub, "photos/2026/", below=strange)
        case _:
            lies(stub, "site/")
            lies(stub, "site/uploads/", below="site/")
            lies(stub, keys=(strange,), below="site/uploads/")
