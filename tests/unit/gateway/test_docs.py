"""What the documents say is what the code does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.methods import public_methods
from gateway.rest.routes import routes_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("script", ["document_errors.py", "document_api.py"])
def test_a_page_that_is_made_is_what_the_code_says(script):
    argv = [sys.executable, str(ROOT / "scripts" / script), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_of_the_api_names_every_address():
    page = (ROOT / "docs" / "api.md").read_text()
    for method in public_methods():
        for route in routes_of(method):
            address = f"{route.verb} {route.path}"
            assert f"`{address}`" in page, f"{method.name} is missing"
