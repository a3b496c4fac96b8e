"""A page of docs/ that is made from something else: written, or compared."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def write_or_compare(name: str, render: Callable[[], str], description: str, *, source: str, script: str) -> int:
    """Write the page, or with --check on the command line only look; 1 when it says something else."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    checking = parser.parse_args().check
    page, path = render(), DOCS / name
    if not checking:
        path.write_text(page)
    elif not path.exists() or path.read_text() != page:
        print(f"docs/{name} is not what {source} says; run scripts/{script}", file=sys.stderr)
        return 1
    return 0
