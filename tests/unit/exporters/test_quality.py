"""PSNR, SSIM, and what moves."""

from __future__ import annotations

import numpy as np
import pytest

from exporters import motion, quality
from exporters.declaration import Frames
from exporters.train import scenes


@pytest.fixture(scope="module")
def film() -> Frames:
    """Six frames of 96x96 that move by a constant part of a pixel."""
    return scenes.dead_leaves(np.random.default_rng(4), 96, 6)


def noisy(film: Frames, sigma: float) -> Frames:
    return (film + np.random.default_rng(0).normal(0, sigma, film.shape)).round().clip(0, 255).astype(np.uint8)


def test_equal_frames_are_as_good_as_can_be(film: Frames) -> None:
    found = quality.measure(film, film)
    assert (found.psnr, found.ssim, found.flicker) == (quality.BEST, pytest.approx(1), 0)


def test_psnr_of_an_error_of_one_level_everywhere_is_its_definition() -> None:
    film = np.full((2, 16, 16, 3), 100, np.uint8)
    assert quality.psnr(film, film + np.uint8(1)) == pytest.approx(20 * np.log10(255))


def test_an_error_of_chroma_alone_is_none_of_luma() -> None:
    grey = np.full((2, 16, 16, 3), 120, np.uint8)
    tinted = grey + np.array([19, 0, -50], np.int64).astype(np.uint8)  # 0.299 * 19 = 0.114 * 50, nearly
    assert quality.psnr(grey, tinted) < 20
    assert quality.luma_psnr(grey, tinted) > 80


def test_luma_counts_all_of_an_error_that_has_no_colour() -> None:
    film = np.full((2, 16, 16, 3), 100, np.uint8)
    assert quality.luma_psnr(film, film + np.uint8(1)) == pytest.approx(20 * np.log10(255), abs=1e-3)


def test_similarity_of_flat_pictures_is_never_above_one() -> None:
    film = np.full((1, 40, 40, 3), 250, np.uint8)
    assert quality.ssim(film, film - np.uint8(1)) <= 1


def test_more_noise_is_worse_by_every_measure(film: Frames) -> None:
    little, much = (quality.measure(film, noisy(film, sigma)) for sigma in (2, 8))
    assert little.psnr > much.psnr
    assert little.ssim > much.ssim
    assert little.flicker < much.flicker
    assert little.warp_error < much.warp_error


def test_an_error_that_stays_does_not_flicker(film: Frames) -> None:
    still = film[:1].repeat(4, 0)
    darker = (still * 0.9).astype(np.uint8)
    found = quality.measure(still, darker)
    assert found.flicker == 0
    assert found.psnr < 40


def test_frames_of_other_sizes_cannot_be_compared(film: Frames) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        quality.psnr(film, film[:, :-2])


def test_motion_is_found_to_a_part_of_a_pixel() -> None:
    world = scenes.texture(np.random.default_rng(2), 200, 1)[0].astype(np.float32)
    before, after = world[20:180, 20:180].mean(-1), world[22:182, 17:177].mean(-1)
    moved = motion.flow(before, after)
    assert np.median(moved[0]) == pytest.approx(2, abs=0.3)
    assert np.median(moved[1]) == pytest.approx(-3, abs=0.3)


def test_nothing_moves_on_a_flat_screen() -> None:
    flat = np.full((48, 64), 120, np.float32)
    assert not motion.flow(flat, flat).any()
