"""Where a picture is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coordinator.steps.interface import FrameSize
from coordinator.steps.tiles import Tiling, plan_tiles
from framewire.testing.inference import fake_contract

SIZES = [(360, 640), (1080, 1920), (2160, 3840), (100, 4096), (48, 48)]
LIMITS = [9_216, 65_536, 921_600]


def test_tiles_of_a_model_nobody_knows_the_reach_of_overlap_far() -> None:
    contract = replace(fake_contract(), overlap=None)
    plan = plan_tiles(contract, FrameSize(height=1080, width=1920), 200_000)
    for spans, tile in ((0, plan.tile.height), (1, plan.tile.width)):
        for span in {tiles[spans] for tiles in plan.tiles}:
            assert not span.start or span.keep_from - span.start >= 64
            assert span.start + tile in (1080, 1920) or span.start + tile - span.keep_to >= 64


def tiling(height: int, width: int, *, limit: int, overlap: int, multiple: int) -> Tiling:
    contract = replace(fake_contract(), overlap=overlap, size_multiple=multiple)
    size = FrameSize(height=-(-height // multiple) * multiple, width=-(-width // multiple) * multiple)
    return plan_tiles(contract, size, limit)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("overlap", "multiple"), [(0, 1), (7, 1), (12, 8), (0, 16)])
def test_every_pixel_is_kept_once_and_far_enough_from_its_tiles_edge(
    height: int, width: int, limit: int, overlap: int, multiple: int
) -> None:
    plan = tiling(height, width, limit=limit, overlap=overlap, multiple=multiple)
    height, width = -(-height // multiple) * multiple, -(-width // multiple) * multiple
    kept = np.zeros((height, width), np.uint8)
    for rows, columns in plan.tiles:
        kept[rows.keep_from : rows.keep_to, columns.keep_from : columns.keep_to] += 1
        for span, tile, whole in ((rows, plan.tile.height, height), (columns, plan.tile.width, width)):
            assert span.start % multiple == 0
            assert span.start + tile <= whole
            assert span.keep_from - span.start >= (overlap if span.start else 0)
            assert span.start + tile - span.keep_to >= (overlap if span.start + tile < whole else 0)
    assert set(np.unique(kept)) == {1}
    assert plan.tile.height * plan.tile.width <= limit


def test_little_is_computed_twice() -> None:
    plan = tiling(1080, 1920, limit=921_600, overlap=16, multiple=8)
    computed = len(plan.tiles) * plan.tile.height * plan.tile.width
    assert len(plan.tiles) == 3
    assert computed <= 1.08 * 1080 * 1920
