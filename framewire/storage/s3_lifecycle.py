"""Lifecycle rules of a bucket: what the store does by itself, also while no gateway runs.

The gateway's janitor deletes what expires; it knows what jobs still need. The rules make old objects cheaper, and are a
net below the janitor. Rules that somebody else has made for the bucket stay as they are. Ours are for the whole bucket,
because every workspace is a folder of its own: a bucket in which anything else lies is left without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from framewire.errors import LocalError
from framewire.storage.keys import KINDS

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_OURS = "framewire-"
_NONE_YET = "NoSuchLifecycleConfiguration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """In whole days, which is what S3 counts in."""

    archive_class: str = ""
    """Storage class objects change to, e.g. `GLACIER_IR`; it has to be readable at once. Empty: they stay."""
    archive_after: int = 1
    abort_after: int = 2
    """Days after which a multipart upload is aborted; longer than an upload may take."""
    delete_after: int | None = None
    """Days after which any object is deleted; well behind the janitor. None: never."""


def apply(client: S3Client, bucket: str, lifecycle: Lifecycle) -> None:
    """Give the bucket these rules.

    Raises LocalError (CONFIG_INVALID), and changes nothing, when something in it is not Framewire's: it would be
    deleted. Raises ClientError, also where the store knows no rules.
    """
    if strange := _strange(client, bucket):
        raise LocalError(
            f"{strange!r} in the bucket {bucket} is not Framewire's, and lifecycle rules would delete it one day; "
            "give Framewire a bucket of its own, or leave FRAMEWIRE_S3_LIFECYCLE out"
        )
    rules = [rule for rule in _known(client, bucket) if not rule.get("ID", "").startswith(_OURS)]
    configuration: Any = {"Rules": [*rules, *_rules(lifecycle)]}
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=configuration)


def _strange(client: S3Client, bucket: str) -> str:
    """Something at the top that is no workspace's folder; empty when there is none among the first thousand."""
    top = client.list_objects_v2(Bucket=bucket, Delimiter="/")
    for each in top.get("Contents", []):
        return each["Key"]
    for folder in (each["Prefix"] for each in top.get("CommonPrefixes", [])):
        below = client.list_objects_v2(Bucket=bucket, Prefix=folder, Delimiter="/")
        names = {each["Prefix"].removeprefix(folder) for each in below.get("CommonPrefixes", [])}
        if below.get("Contents") or not names <= KINDS:
            return folder
    return ""


def _known(client: S3Client, bucket: str) -> list[Any]:
    try:
        return list(client.get_bucket_lifecycle_configuration(Bucket=bucket).get("Rules", []))
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == _NONE_YET:
            return []
        raise


def _rules(lifecycle: Lifecycle) -> list[dict[str, Any]]:
    abort = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": lifecycle.abort_after}}
    rules = [_rule("abort", abort)]
    if lifecycle.archive_class:
        change = {"Days": lifecycle.archive_after, "StorageClass": lifecycle.archive_class}
        rules.append(_rule("archive", {"Transitions": [change]}))
    if lifecycle.delete_after is not None:
        rules.append(_rule("delete", {"Expiration": {"Days": lifecycle.delete_after}}))
    return rules


def _rule(name: str, action: dict[str, Any]) -> dict[str, Any]:
    return {"ID": f"{_OURS}{name}", "Status": "Enabled", "Filter": {"Prefix": ""}, **action}
