"""Write docs/errors.md from framewire/errors.py and the gateway's table of statuses.

python scripts/document_errors.py            write it
python scripts/document_errors.py --check    fail when it says something else
"""

from __future__ import annotations

import inspect
import re
import sys

from made_page import write_or_compare

from framewire import errors
from gateway.errors import HTTP, HTTP_ONLY, STATUSES

_MEMBER = re.compile(r'^    ([A-Z_]+) = "\1"  # (.+?)(?:  # noqa.*)?$', re.MULTILINE)

HEAD = """\
# Errors

Every error Framewire raises on purpose has a stable code. On gRPC and REST it comes as a `google.rpc.Status` with

- `ErrorInfo`: `reason` is the code, `domain` is `framewire`, `metadata.retryable` says whether the same call may
  succeed later without anybody changing anything;
- `RetryInfo`: when to try again, where that may help; on HTTP it is also in `Retry-After`;
- `RequestInfo`: the request id, which is also in the header `x-request-id` (over gRPC in the trailers) and in the log;
- `BadRequest`: the fields that are to blame, where fields are (`steps[0].enhance.scale`).

A job that failed carries the code and a line for people in its `error`.

This page is made by `scripts/document_errors.py` from the comments in `framewire/errors.py` and the table in
`gateway/errors.py`.

| code | meaning | gRPC | HTTP |
|---|---|---|---|
"""


def main() -> int:
    return write_or_compare("errors.md", render, __doc__ or "", source="the code", script="document_errors.py")


def render() -> str:
    """The page."""
    sentences = dict(_MEMBER.findall(inspect.getsource(errors.ErrorCode)))
    return HEAD + "".join(row(code, sentences[code]) for code in errors.ErrorCode)


def row(code: errors.ErrorCode, sentence: str) -> str:
    status = STATUSES[code]
    return f"| `{code}` | {sentence} | `{status.name}` | {HTTP_ONLY.get(code) or HTTP[status]} |\n"


if __name__ == "__main__":
    sys.exit(main())
