"""What people see of a job: previews while it runs, a thumbnail of its result."""

from __future__ import annotations

import dataclasses
import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, make_clip, moving_square
from jobs import enhance, pipeline, server_with
from numpy.typing import NDArray

from coordinator.flow import Channel
from coordinator.media.jpeg import Photographer
from coordinator.media.probe import inspect
from coordinator.media.thumbnail import make_thumbnail
from coordinator.order import Reports
from coordinator.previews import MOST_BYTES, WIDTH, Pair, Previews
from framewire.v1.job_pb2 import Preview


def picture(data: bytes) -> NDArray[np.uint8]:
    with av.open(io.BytesIO(data), format="mjpeg") as image:
        return np.asarray(next(image.decode(video=0)).to_ndarray(format="rgb24"))


def noise(clip: Clip, number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (clip.height, clip.width, 3), np.uint8)


def test_a_run_shows_a_frame_before_and_after(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(width=400, height=300, frames=30, sounds=()))
    shown: list[Preview] = []
    pipeline(source, tmp_path / "out.mp4", server_with(2), enhance("x2"), reports=Reports(preview=shown.append)).run()
    assert shown
    before, after = picture(shown[0].before), picture(shown[0].after)
    assert before.shape == after.shape == (240, 320, 3)
    assert np.abs(before.astype(int) - after).mean() < 4
    assert shown[0].position == 0


def test_previews_come_about_every_two_seconds_of_the_clock(tmp_path: Path) -> None:
    facts = inspect(make_clip(tmp_path / "in.mp4", Clip(frames=1, sounds=()))).video
    pairs: Channel[Pair] = Channel("previews", 1)
    now = [0.0]
    previews = Previews(facts, pairs, lambda _: None, clock=lambda: now[0])
    wanted = []
    for tick in range(100):  # ten seconds
        now[0] = tick / 10
        wanted.append(previews.wanted())
    assert [number for number, due in enumerate(wanted) if due] == [0, 20, 40, 60, 80]


def test_a_preview_nobody_has_drawn_yet_is_not_waited_for(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=1, sounds=()))
    pairs: Channel[Pair] = Channel("previews", 1)
    previews = Previews(inspect(source).video, pairs, lambda _: None)
    with av.open(str(source)) as film:
        frame = next(film.decode(video=0))
    for _ in range(3):
        previews.offer(Pair(None, frame, frame))  # type: ignore[arg-type]  # nobody looks at the stamp
    assert len(pairs) == 1


def test_even_noise_makes_a_small_preview(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(width=1280, height=720, frames=1, sounds=()), noise)
    with av.open(str(source)) as film:
        data = Photographer(inspect(source).video, width=WIDTH, most_bytes=MOST_BYTES).jpeg(next(film.decode(video=0)))
    assert len(data) <= MOST_BYTES
    assert picture(data).shape == (180, 320, 3)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_previews_are_upright(tmp_path: Path, rotation: int) -> None:
    # red at the top left of the frame as it is stored
    def corner(clip: Clip, _: int) -> NDArray[np.uint8]:
        frame = np.zeros((clip.height, clip.width, 3), np.uint8)
        frame[: clip.height // 2, : clip.width // 2, 0] = 255
        return frame

    clip = Clip(width=128, height=64, frames=1, sounds=(), rotation=rotation)
    source = make_clip(tmp_path / "in.mp4", clip, corner)
    with av.open(str(source)) as film:
        data = Photographer(inspect(source).video, width=WIDTH, most_bytes=MOST_BYTES).jpeg(next(film.decode(video=0)))
    shown = picture(data)
    assert shown.shape == ((64, 128, 3) if rotation in (0, 180) else (128, 64, 3))
    height, width = shown.shape[0] // 2, shown.shape[1] // 2
    quarters = {0: (0, 0), 90: (0, width), 180: (height, width), 270: (height, 0)}  # clockwise
    top, left = quarters[rotation]
    assert shown[top + 4 : top + height - 4, left + 4 : left + width - 4, 0].mean() > 200


_ONE = 1 << 16


@pytest.mark.parametrize(
    ("matrix", "quarter"),
    [((-_ONE, 0, 0, 0, _ONE), (0, 1)), ((_ONE, 0, 0, 0, -_ONE), (1, 0)), ((0, _ONE, 0, _ONE, 0), (0, 0))],
    ids=["left and right", "top and bottom", "along the diagonal"],
)
def test_previews_of_mirrored_films_are_mirrored(
    tmp_path: Path, matrix: tuple[int, ...], quarter: tuple[int, int]
) -> None:
    def corner(clip: Clip, _: int) -> NDArray[np.uint8]:
        frame = np.zeros((clip.height, clip.width, 3), np.uint8)
        frame[: clip.height // 2, : clip.width // 2, 0] = 255
        return frame

    source = make_clip(tmp_path / "in.mp4", Clip(width=64, height=64, frames=1, sounds=()), corner)
    facts = dataclasses.replace(inspect(source).video, display_matrix=(*matrix, 0, 0, 0, 1 << 30))
    with av.open(str(source)) as film:
        shown = picture(Photographer(facts, width=WIDTH, most_bytes=MOST_BYTES).jpeg(next(film.decode(video=0))))
    top, left = 32 * quarter[0], 32 * quarter[1]
    assert shown[top + 4 : top + 28, left + 4 : left + 28, 0].mean() > 200


def test_wide_samples_make_a_wide_preview(tmp_path: Path) -> None:
    clip = Clip(width=64, height=64, frames=1, sounds=(), sample_aspect_ratio=Fraction(2))
    source = make_clip(tmp_path / "in.mp4", clip)
    with av.open(str(source)) as film:
        data = Photographer(inspect(source).video, width=WIDTH, most_bytes=MOST_BYTES).jpeg(next(film.decode(video=0)))
    assert picture(data).shape == (64, 128, 3)


def test_a_thumbnail_is_not_black_when_the_film_is_not(tmp_path: Path) -> None:
    # 4 s at 25 fps; the first second is black
    def late(clip: Clip, number: int) -> NDArray[np.uint8]:
        return moving_square(clip, number) if number >= 25 else np.zeros((clip.height, clip.width, 3), np.uint8)

    source = make_clip(tmp_path / "in.mp4", Clip(width=96, height=64, frames=100, sounds=()), late)
    result = pipeline(source, tmp_path / "out.mp4", server_with(2), enhance("x2")).run()
    units = [Path(unit.path) for unit in result.units]
    facts = inspect(source).video
    assert picture(make_thumbnail(units[:2], facts)).std() < 5  # black only
    lively = picture(make_thumbnail(units, facts))
    assert lively.shape == (128, 192, 3)
    assert lively.std() > 30
