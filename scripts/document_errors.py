"""Write docs/errors.md from framewire/errors.py and the gateway's table of statuses.

python scripts/document_errors.py            write it
python scripts/document_errors.py --check    fail when it says something else
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from pathlib import Path

from framewire import errors
from gateway.errors import HTTP, HTTP_ONLY, STATUSES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
_MEMBER = re.compile(r'^    ([A-Z_]+) = "\1"  # (.+?)(?:  # noqa.*)?$', re.MULTILINE)

HEAD = """\
# Errors

Every error Framewire raises on purpose has a stable code. On gRPC and REST it comes as a `google.rpc.Status` with

- `ErrorInfo`: `reason` is the code, `domain` is `framewire`, `metadata.retryable` says whether the same call may
  succeed later without anybody changing anything;
- `RetryInfo`: when to try again, where that may help; on HTTP it is also in `Retry-After`;
- `RequestInfo`: the request id, which is also in the header `x-request-id` and in the gateway's log;
- `BadRequest`: the fields that are to blame, where fields are (`steps[0].enhance.scale`).

A job that failed carries the code and a line for people in its `error`.

This page is made by `scripts/document_errors.py` from the comments in `framewire/errors.py` and the table in
`gateway/errors.py`.

| code | meaning | gRPC | HTTP |
|---|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    page = render()
    if not parser.parse_args().check:
        PAGE.write_text(page)
    elif not PAGE.exists() or PAGE.read_text() != page:
        print("docs/errors.md is not what the code says; run scripts/document_errors.py", file=sys.stderr)
        return 1
    return 0


def render() -> str:
    """The page."""
    sentences = dict(_MEMBER.findall(inspect.getsource(errors.ErrorCode)))
    return HEAD + "".join(row(code, sentences[code]) for code in errors.ErrorCode)


def row(code: errors.ErrorCode, sentence: str) -> str:
    status = STATUSES[code]
    return f"| `{code}` | {sentence} | `{status.name}` | {HTTP_ONLY.get(code) or HTTP[status]} |\n"


if __name__ == "__main__":
    sys.exit(main())
