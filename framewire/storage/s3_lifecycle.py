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
from framewire.storage.keys import IDS, KINDS

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

    Raises LocalError (CONFIG_INVALID), and takes rules that were given to it earlier back, when something in it is not
    Framewire's: it would be deleted. Raises ClientError, also where the store knows no rules.
    """
    strange = _strange(client, bucket)
    known = _known(client, bucket)
    others = [rule for rule in known if not rule.get("ID", "").startswith(_OURS)]
    if strange:
        if others != known:
            _put(client, bucket, others)
        raise LocalError(
            f"{strange!r} in the bucket {bucket} is not Framewire's, and lifecycle rules would delete it one day; "
            "give Framewire a bucket of its own, or leave FRAMEWIRE_S3_LIFECYCLE out"
        )
    _put(client, bucket, [*others, *_rules(lifecycle)])


def _put(client: S3Client, bucket: str, rules: list[Any]) -> None:
    if rules:
        configuration: Any = {"Rules": rules}
        client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=configuration)
    else:
        client.delete_bucket_lifecycle(Bucket=bucket)


def _strange(client: S3Client, bucket: str) -> str:
    """Something that is not named as Framewire names things; empty when there is none among the first thousand of each
    folder.
    """
    for workspace in _below(client, bucket, ""):
        if not workspace.endswith("/"):
            return workspace
        for kind in _below(client, bucket, workspace):
            if kind.removeprefix(workspace) not in KINDS:
                return workspace
            for each in _below(client, bucket, kind):
                if not each.removeprefix(kind).startswith(IDS):
                    return each
    return ""


def _below(client: S3Client, bucket: str, prefix: str) -> list[str]:
    """Objects and folders."""
    found = client.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/")
    objects = [each["Key"] for each in found.get("Contents", [])]
    return [*objects, *(each["Prefix"] for each in found.get("CommonPrefixes", []))]


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
