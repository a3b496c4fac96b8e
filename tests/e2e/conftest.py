"""One stack for all tests that do not break it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from clips import Clip, Sound, make_clip
from local_stack import Stack, started


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with started(tmp_path_factory.mktemp("stack") / "data") as stack:
        yield stack


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 s of 320x180 H.264 at 25 fps with stereo AAC."""
    return make_clip(tmp_path_factory.mktemp("clips") / "square.mp4", Clip(width=320, height=180, frames=100))


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s of 640x360 H.264 at 30 fps with stereo AAC: enough work to be interrupted in the middle of it."""
    settings = Clip(width=640, height=360, frames=600, rate=Fraction(30), sounds=(Sound(),))
    return make_clip(tmp_path_factory.mktemp("clips") / "long.mp4", settings)


@pytest.fixture(scope="session")
def cars() -> Path:
    """A real clip, where the test media lies beside the checkout (or where FRAMEWIRE_TEST_MEDIA says)."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "media"
    path = Path(os.environ.get("FRAMEWIRE_TEST_MEDIA", beside)) / "cars_432p.mp4"
    if not path.exists():
        pytest.skip("no test media: set FRAMEWIRE_TEST_MEDIA to a folder with cars_432p.mp4")
    return path
