"""Sizes decided before the first frame."""

from __future__ import annotations

from jobs import Size

from coordinator.plan import BLOCK_BYTES, BLOCKS, MAX_BATCH, make_plan
from coordinator.steps.interface import FrameSize


def size(width: int, height: int) -> FrameSize:
    return FrameSize(height=height, width=width)


def test_a_step_without_demands_gets_frames_as_they_are() -> None:
    plan = make_plan(size(640, 360), [Size(scale=2)])
    assert plan.padded == (size(640, 360), size(1280, 720))
    assert plan.result == size(1280, 720)


def test_frames_are_padded_to_the_multiple_a_model_needs() -> None:
    plan = make_plan(size(50, 34), [Size(scale=2, size_multiple=16)])
    assert plan.padded == (size(64, 48), size(128, 96))
    assert plan.content == size(50, 34)
    assert plan.result == size(100, 68)


def test_padding_once_suits_every_step_of_a_chain() -> None:
    plan = make_plan(size(50, 34), [Size(scale=2, size_multiple=4), Size(scale=3, size_multiple=16)])
    assert plan.padded[0] == size(56, 40)
    assert all(frame.width % 16 == 0 and frame.height % 16 == 0 for frame in plan.padded[1:2])
    assert plan.result == size(300, 204)


def test_an_odd_result_becomes_even_and_memory_has_room_for_it() -> None:
    plan = make_plan(size(33, 21), [Size(scale=3)])
    assert plan.result == size(100, 64)
    assert plan.padded[-1].width >= 100
    assert plan.padded[-1].height >= 64


def test_a_batch_fits_its_block_and_the_model() -> None:
    small, large, narrow = (
        make_plan(size(320, 180), [Size(scale=2)]),
        make_plan(size(3840, 2160), [Size(scale=2)]),
        make_plan(size(320, 180), [Size(scale=2, max_batch=3)]),
    )
    assert small.batch == MAX_BATCH
    assert small.batch * small.padded[-1].bytes <= BLOCK_BYTES
    assert large.batch == 1
    assert narrow.batch == 3


def test_few_batches_wait_where_a_frame_fills_a_block() -> None:
    """Full HD is not large, enlarged it is."""
    assert make_plan(size(1920, 1080), [Size(scale=1)]).waiting == BLOCKS
    assert make_plan(size(1920, 1080), [Size(scale=2)]).waiting == 1
    assert make_plan(size(4096, 2304), []).waiting == 1
