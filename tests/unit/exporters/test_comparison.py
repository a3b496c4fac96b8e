"""What a model could reach at most, beside what it reaches."""

from __future__ import annotations

import numpy as np
import pytest

from exporters.comparison import compare, degradation, larger
from exporters.declaration import Frames
from exporters.train import scenes


@pytest.fixture(scope="module")
def film() -> Frames:
    """Four frames of 96x96 that move."""
    return scenes.dead_leaves(np.random.default_rng(4), 96, 4)


def test_without_an_encoder_nothing_bounds_what_can_be_gained(film: Frames) -> None:
    found = compare("film", film, degradation(2, crf=0), lambda frames: larger(frames, 2))
    assert found.limit.luma_gain > 10


def test_the_more_is_compressed_the_less_can_be_gained(film: Frames) -> None:
    little, much = (compare("film", film, degradation(2, crf), lambda frames: larger(frames, 2)) for crf in (12, 30))
    assert little.limit.gain > much.limit.gain >= 0
    assert little.limit.luma_gain > little.limit.gain  # chroma is coded at half the resolution


def test_what_knows_the_picture_before_the_encoder_gains_what_can_be_gained_and_more(film: Frames) -> None:
    found = compare("film", film, degradation(2), lambda frames: film)
    assert found.gain > found.limit.gain > 0
    assert found.luma_gain > found.limit.luma_gain > 0
