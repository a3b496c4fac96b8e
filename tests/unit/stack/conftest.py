"""A nursery of tiny children for the supervisor's tests."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the helper beside this file

from nursery import Nursery


@pytest.fixture
async def nursery(tmp_path: Path) -> AsyncIterator[Nursery]:
    made = Nursery(tmp_path)
    yield made
    for supervisor in made.supervisors:
        await supervisor.stop(hurry=True)
