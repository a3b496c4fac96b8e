"""The bicubic model against torch, and against what bicubic interpolation must do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime as ort
import pytest

from exporters import bicubic, parity
from exporters.declaration import INPUT, Frames
from exporters.engine import graph_of
from exporters.models import MODELS

MODEL = next(model for model in MODELS if model.name == "upscale_bicubic_x2")


@pytest.fixture(scope="module")
def upscale() -> Callable[[Frames], Frames]:
    session = ort.InferenceSession(graph_of(MODEL), providers=["CPUExecutionProvider"])
    return lambda frames: session.run(None, {INPUT: frames})[0]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_model_is_its_reference_within_its_tolerance(model) -> None:
    found = parity.measure(model, graph_of(model))
    assert found.values > 100_000
    assert found.within(model.tolerance)


def test_the_tolerance_is_one_level_on_one_value_in_ten_thousand() -> None:
    assert (MODEL.tolerance.levels, MODEL.tolerance.exact) == (1, 0.9999)


@pytest.mark.parametrize("width", range(1, 26))
def test_every_width_gives_twice_the_width(upscale, width: int) -> None:
    frames = np.random.default_rng(width).integers(0, 256, (2, 3, width, 3), dtype=np.uint8)
    expected = bicubic.reference(frames)
    result = upscale(frames)
    assert result.shape == expected.shape == (2, 6, 2 * width, 3)
    assert np.abs(result.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize("level", [0, 1, 127, 128, 254, 255])
def test_flat_pictures_stay_exactly_as_they_are(upscale, level: int) -> None:
    assert np.unique(upscale(np.full((1, 9, 10, 3), level, np.uint8))).tolist() == [level]


def test_overshoot_at_edges_is_clamped_not_wrapped(upscale) -> None:
    frames = np.zeros((1, 8, 16, 3), np.uint8)
    frames[:, :, 8:] = 255
    result = upscale(frames)
    assert result[:, :, :14].max() <= 8
    assert result[:, :, 18:].min() >= 247


def test_colours_do_not_mix(upscale) -> None:
    frames = np.zeros((1, 6, 11, 3), np.uint8)
    frames[..., 1] = 200
    assert np.unique(upscale(frames)[..., 1]).tolist() == [200]
    assert upscale(frames)[..., [0, 2]].max() == 0


def test_frames_of_a_batch_do_not_mix(upscale) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 7, 13, 3), dtype=np.uint8)
    alone = np.concatenate([upscale(frame[None]) for frame in frames])
    assert np.array_equal(upscale(frames), alone)


def test_weights_of_each_phase_sum_to_one_exactly() -> None:
    assert bicubic.taps().sum(axis=1).tolist() == [1.0, 1.0]
