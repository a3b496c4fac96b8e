"""The step that fills boxes: what is in them comes from the model, and nothing else does."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import Clip, make_clip, read_clip
from jobs import enhance
from numpy.typing import NDArray

from coordinator.job import Job
from coordinator.steps.crops import plan_crops
from coordinator.steps.inpaint import InpaintStep
from coordinator.steps.interface import FrameSize
from coordinator.steps.registry import prepare_steps
from framewire.errors import ErrorCode, StepError, Unavailable
from framewire.steps.contract import ModelContract
from framewire.steps.inpaint import Box, read_boxes
from framewire.testing.inference import FakeBlock, FakeInferenceServer, fake_contract, fake_mask_contract
from framewire.v1.job_pb2 import OutputSettings
from framewire.v1.step_pb2 import Denoise, Enhance, Inpaint, Step
from framewire.work.v1.work_pb2 import RunnerOrder, RunnerReport

INVERTS = fake_mask_contract()
SIZE = FrameSize(height=200, width=300)
WITHIN = 10.0


def noise(size: FrameSize = SIZE, frames: int = 2) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (frames, size.height, size.width, 3), dtype=np.uint8)


def prepared(boxes: str, contract: ModelContract = INVERTS) -> tuple[InpaintStep, FakeInferenceServer]:
    server = FakeInferenceServer([contract])
    (step,) = prepare_steps([Step(inpaint=Inpaint(boxes=boxes, model=contract.name))], server)
    assert isinstance(step, InpaintStep)
    return step, server


def filled(boxes: str, frames: NDArray[np.uint8], contract: ModelContract = INVERTS) -> NDArray[np.uint8]:
    step, server = prepared(boxes, contract)
    arena = server.open_arena(block_bytes=frames.size, blocks=2)
    inputs, outputs = arena.acquire(timeout=1), arena.acquire(timeout=1)
    inputs.array(frames.shape)[...] = frames
    size = FrameSize(height=frames.shape[1], width=frames.shape[2])
    assert step.submit(inputs, outputs, frames=len(frames), size=size, keep_state=True).result(WITHIN) == b""
    assert np.array_equal(inputs.array(frames.shape), frames)  # the pipeline may still read them
    return outputs.array(frames.shape)


def inverted(frames: NDArray[np.uint8], *boxes: tuple[slice, slice]) -> NDArray[np.uint8]:
    expected = frames.copy()
    for rows, columns in boxes:
        expected[:, rows, columns] = 255 - frames[:, rows, columns]
    return expected


@pytest.mark.parametrize("multiple", [1, 8, 64])
def test_what_is_in_a_box_comes_from_the_model_and_all_else_stays(multiple: int) -> None:
    frames = noise()
    expected = inverted(frames, (slice(30, 50), slice(200, 260)))
    assert np.array_equal(filled("60x20+200+30", frames, fake_mask_contract(size_multiple=multiple)), expected)


@pytest.mark.parametrize(
    "boxes", ["4x4+0+0", "4x4+296+196", "300x199+0+0"], ids=["corner", "other corner", "nearly all"]
)
def test_boxes_at_the_edges_are_filled(boxes: str) -> None:
    frames, (box,) = noise(), read_boxes(boxes)
    expected = inverted(frames, (slice(box.top, box.bottom), slice(box.left, box.right)))
    assert np.array_equal(filled(boxes, frames, fake_mask_contract(size_multiple=8)), expected)


def test_a_box_that_reaches_over_the_edge_is_filled_as_far_as_it_is_inside() -> None:
    frames = noise()
    assert np.array_equal(filled("99x99+290+190", frames), inverted(frames, (slice(190, 200), slice(290, 300))))


def test_many_boxes_are_filled_with_few_blocks_and_where_they_overlap_once() -> None:
    frames = noise()
    boxes = [(slice(10, 30), slice(10, 40)), (slice(20, 40), slice(30, 60)), (slice(150, 160), slice(280, 299))]
    result = filled("30x20+10+10/30x20+30+20/19x10+280+150", frames)
    masked = np.zeros(frames.shape, bool)
    for rows, columns in boxes:
        masked[:, rows, columns] = True
    assert np.array_equal(result, np.where(masked, 255 - frames, frames))


class Seeing(FakeInferenceServer):
    """Counts the masked pixels of each request."""

    def infer(self, *arguments: object, mask: FakeBlock, **options: int) -> Future[None]:  # type: ignore[override]
        shown = mask.array((options["frames"], options["height"], options["width"]))
        self.masked = [*getattr(self, "masked", []), np.count_nonzero(shown)]
        return super().infer(*arguments, mask=mask, **options)  # type: ignore[arg-type]


def test_what_another_box_hides_is_masked_too() -> None:
    server = Seeing([INVERTS])
    (step,) = prepare_steps([Step(inpaint=Inpaint(boxes="10x10+100+100/10x10+120+100", model=INVERTS.name))], server)
    arena = server.open_arena(block_bytes=SIZE.bytes, blocks=2)
    blocks = [arena.acquire(timeout=1) for _ in range(2)]
    step.submit(blocks[0], blocks[1], frames=1, size=SIZE).result(WITHIN)
    assert server.masked == [200, 200]


def test_a_frame_smaller_than_the_models_multiple_is_continued_at_its_edges() -> None:
    frames = noise(FrameSize(height=21, width=37))
    contract = fake_mask_contract(size_multiple=64)
    assert np.array_equal(filled("5x5+30+15", frames, contract), inverted(frames, (slice(15, 20), slice(30, 35))))


@pytest.mark.parametrize("boxes", ["1x1+0+0", "120x40+600+10", "900x500+100+50", "8x8+1272+712"])
@pytest.mark.parametrize("multiple", [1, 8, 14])
def test_a_crop_lies_in_the_frame_and_is_as_large_as_the_model_takes(boxes: str, multiple: int) -> None:
    frame, contract = FrameSize(height=720, width=1280), fake_mask_contract(size_multiple=multiple)
    (crop,) = plan_crops(contract, read_boxes(boxes), frame)
    assert crop.box.within(crop.area) == crop.box
    assert crop.area.within(Box(left=0, top=0, right=1280, bottom=720)) == crop.area
    assert (crop.given.height % multiple, crop.given.width % multiple) == (0, 0)
    assert crop.given.height >= crop.area.height
    assert crop.given.width >= crop.area.width


def test_less_is_shown_around_a_box_before_it_is_refused() -> None:
    frame, boxes = FrameSize(height=720, width=1280), read_boxes("100x100+500+300")
    (crop,) = plan_crops(replace(INVERTS, max_pixels=150 * 150), boxes, frame)
    assert crop.area == boxes[0].grown(16)
    with pytest.raises(StepError, match="name smaller boxes") as caught:
        plan_crops(replace(INVERTS, max_pixels=100 * 100), boxes, frame)
    assert caught.value.code == ErrorCode.MODEL_TOO_LARGE


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ("4x4+0+0/4x4+300+10", r"4x4\+300\+10 lies outside of the frames, which are 300x200"),
        ("300x200+0+0", "covers all"),
    ],
)
def test_a_box_that_cannot_be_filled_is_refused_with_the_size_of_the_frames(boxes: str, words: str) -> None:
    with pytest.raises(StepError, match=words) as caught:
        filled(boxes, noise())
    assert caught.value.code == ErrorCode.STEP_INVALID


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step(inpaint=Inpaint(boxes="4x4+0+0", model="plain")), "plain takes no mask"),
        (Step(inpaint=Inpaint(boxes="4x4+0+0")), "framewire models import"),
        (Step(inpaint=Inpaint(boxes="4x4", model="invert_masked")), "takes boxes"),
        (Step(denoise=Denoise(model="invert_masked")), "use it with inpaint"),
        (Step(enhance=Enhance(model="invert_masked")), "use it with inpaint"),
    ],
)
def test_what_cannot_be_done_is_refused_before_work_begins(step: Step, words: str) -> None:
    server = FakeInferenceServer([INVERTS, fake_contract("plain", scale=1)])
    with pytest.raises(StepError, match=words) as caught:
        prepare_steps([step], server)
    assert caught.value.code == ErrorCode.STEP_INVALID
    assert server.requests == 0


def test_a_request_that_fails_fails_its_batch_and_those_behind_it() -> None:
    step, server = prepared("4x4+0+0")
    arena = server.open_arena(block_bytes=SIZE.bytes, blocks=4)
    blocks = [arena.acquire(timeout=1) for _ in range(4)]
    server.fail_next(Unavailable("gone", code=ErrorCode.INFERENCE_UNAVAILABLE))
    futures = [step.submit(blocks[n], blocks[n + 1], frames=1, size=SIZE) for n in (0, 2)]
    assert all(isinstance(future.exception(WITHIN), Unavailable) for future in futures)


def test_in_a_chain_boxes_are_those_of_the_larger_picture_and_the_report_says_where(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", Clip(width=64, height=48, frames=12))
    inpaint = Step(inpaint=Inpaint(boxes="40x20+80+70", model=INVERTS.name))
    filled, filled_said = done(clip, tmp_path / "filled.mp4", [*enhance("x2"), inpaint])
    plain, plain_said = done(clip, tmp_path / "plain.mp4", enhance("x2"))
    changed = abs(filled - plain).max(axis=3)
    assert changed[:, 72:88, 82:118].min() > 0
    changed[:, 60:100, 70:130] = 0  # colour has half the size in the file, and is read back smoothly
    assert not changed.any()
    assert "every frame was filled at 40x20+80+70 by model invert_masked (inpaint)" in filled_said
    assert not plain_said


def done(source: Path, target: Path, steps: list[Step]) -> tuple[NDArray[np.int64], list[str]]:
    """The frames of a job's result, whose encoder changed nothing, and the remarks of its report."""
    sent: list[RunnerReport] = []
    server = FakeInferenceServer([fake_contract("x2"), INVERTS])
    order = RunnerOrder(
        input_path=str(source), output_path=str(target), steps=steps, output=OutputSettings(crf=0, preset="ultrafast")
    )
    Job(order, sent.append, lambda _: server).execute()
    assert sent[-1].HasField("done"), sent[-1]
    assert all(arena.closed for arena in server.arenas)
    return np.stack(read_clip(target).pictures).astype(np.int64), list(sent[-1].done.fidelity.remarks)


def test_nothing_is_remembered() -> None:
    step, _ = prepared("4x4+0+0")
    step.restore(b"")
    with pytest.raises(StepError):
        step.restore(b"something")
