"""What training makes worse, and what it draws: all of it from seeds."""

from __future__ import annotations

import numpy as np
import pytest
from av.video.reformatter import Interpolation

from exporters.quality import psnr
from exporters.train import codec, degrade, held_out, scenes
from exporters.train.degrade import CLEANING, UPSCALING, Degradation

SIDE = 128


def scene(seed: int = 0) -> np.ndarray:
    """Four frames of 128x128: x264 is not exact on pictures of a few macroblocks."""
    return scenes.dead_leaves(np.random.default_rng(seed), SIDE, 4)


@pytest.mark.parametrize("severity", [UPSCALING, CLEANING])
def test_the_same_seed_gives_the_same_degradation_and_the_same_pixels(severity: degrade.Severity) -> None:
    one, other = (degrade.draw(np.random.default_rng(7), 2, severity) for _ in range(2))
    assert one == other
    assert np.array_equal(degrade.apply(scene(), one), degrade.apply(scene(), other))


def test_seeds_differ() -> None:
    drawn = {degrade.draw(np.random.default_rng(seed), 2, UPSCALING) for seed in range(20)}
    assert len(drawn) == 20


@pytest.mark.parametrize(
    "kernel", [Interpolation.AREA, Interpolation.BILINEAR, Interpolation.BICUBIC, Interpolation.LANCZOS]
)
def test_a_flat_picture_scaled_down_stays_flat(kernel: Interpolation) -> None:
    flat = np.full((1, SIDE, SIDE, 3), 77, np.uint8)
    assert np.unique(degrade.scaled_down(flat, 2, kernel)).tolist() == [77]


def test_each_degradation_does_what_its_name_says() -> None:
    film = scene()
    plain = Degradation(scale=1, kernel=Interpolation.AREA)
    assert np.array_equal(degrade.apply(film, plain), film)
    blurred = degrade.apply(film, Degradation(scale=1, kernel=Interpolation.AREA, blur=1.0))
    assert np.abs(np.diff(blurred.astype(int), axis=1)).mean() < np.abs(np.diff(film.astype(int), axis=1)).mean()
    noisy = degrade.apply(film, Degradation(scale=1, kernel=Interpolation.AREA, noise=5.0))
    assert np.std(noisy.astype(float) - film) == pytest.approx(5, rel=0.15)


def test_stronger_compression_is_further_from_the_truth() -> None:
    film = scene()
    assert psnr(film, codec.h264(film, crf=12)) > psnr(film, codec.h264(film, crf=34)) + 3


def test_compression_gives_every_frame_in_its_place() -> None:
    film = np.stack([np.full((32, 32, 3), 20 * number, np.uint8) for number in range(8)])
    means = codec.h264(film, crf=16).mean((1, 2, 3))
    assert np.abs(means - film.mean((1, 2, 3))).max() < 3


@pytest.mark.parametrize("kind", scenes.SCENES)
def test_a_scene_is_the_same_for_the_same_seed(kind: str) -> None:
    one, other = (scenes.SCENES[kind][0](np.random.default_rng(5), SIDE, 3) for _ in range(2))
    assert one.shape == (3, SIDE, SIDE, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, other)


@pytest.mark.parametrize("kind", held_out.SCENES)
def test_scenes_of_validation_have_the_size_they_are_asked_for(kind: str) -> None:
    film = held_out.SCENES[kind](96, 160, 3)
    assert film.shape == (3, 96, 160, 3)
    assert film.dtype == np.uint8
