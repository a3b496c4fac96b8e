"""What the documents say is what the code does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gateway.methods import public_methods
from gateway.rest.routes import routes_of

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_of_errors_is_what_the_code_says():
    argv = [sys.executable, str(ROOT / "scripts" / "document_errors.py"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_of_rest_names_every_address():
    page = (ROOT / "docs" / "rest.md").read_text()
    for method in public_methods():
        for route in routes_of(method):
            address = f"{route.verb} {route.path.replace(':[^/:]+', '')}"
            assert f"`{address}`" in page, f"{method.name} is missing"
