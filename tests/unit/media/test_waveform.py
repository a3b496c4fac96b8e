"""The picture of a film's sound and of what is cut from it."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from coordinator.media.lettering import lettering
from coordinator.media.waveform import Wave, draw_waveform
from framewire.edits.edit_list import EditList, Span

HOP = Fraction(1, 25)


def pixels(data: bytes) -> NDArray[np.int64]:
    with av.open(io.BytesIO(data), format="png_pipe") as picture:
        return next(picture.decode(video=0)).to_ndarray(format="rgb24").astype(np.int64)


def drawn(levels: list[float], spans: list[tuple[int, int, int]], seconds: int, **changes: float) -> NDArray[np.int64]:
    """One level a second; spans as start, end, speed."""
    rms = np.repeat(np.array(levels, np.float32), 25)
    edits = EditList(Span(start=Fraction(a), end=Fraction(b), speed=Fraction(speed)) for a, b, speed in spans)
    arguments = {"width": 100, "height": 50, "threshold": None} | changes
    wave = Wave(rms=rms, peak=np.minimum(rms * 2, 1), hop=HOP)
    return pixels(draw_waveform(wave, edits, Fraction(seconds), **arguments))  # type: ignore[arg-type]  # tests mix numbers


def ink(picture: NDArray[np.int64], column: int) -> int:
    """Pixels of a column that do not have the colour of its uppermost one."""
    return int((picture[:, column] != picture[0, column]).any(axis=1).sum())


def test_what_is_cut_is_darker_and_what_is_faster_is_tinted() -> None:
    picture = drawn([0.1] * 10, [(0, 5, 1), (5, 8, 4)], 10)
    kept, fast, cut = (picture[0, column] for column in (20, 60, 90))
    assert kept.min() > 245
    assert cut.max() < 215
    assert fast[0] - fast[2] > 40
    assert (picture[0, :50] == kept).all()
    assert (picture[0, 80:] == cut).all()


def test_loud_sound_is_taller_than_quiet_sound_and_silence_is_a_line() -> None:
    picture = drawn([0.0, 0.01, 0.3], [(0, 3, 1)], 3)
    silent, quiet, loud = (ink(picture, column) for column in (10, 50, 90))
    assert silent == 2
    assert silent < quiet < loud


def test_one_loud_hop_in_an_hour_is_seen() -> None:
    levels = np.zeros(3600 * 25, np.float32)
    levels[50_000] = 1
    wave = Wave(rms=levels, peak=levels, hop=HOP)
    edits = EditList([Span(start=Fraction(0), end=Fraction(3600))])
    picture = pixels(draw_waveform(wave, edits, Fraction(3600), width=200, height=50))
    heights = [ink(picture, column) for column in range(200)]
    assert heights.index(max(heights)) == 50_000 * 200 // (3600 * 25)
    assert max(heights) >= 47
    assert sorted(heights)[-2] == 2


def test_the_threshold_is_a_dashed_line_on_both_sides() -> None:
    without, with_line = drawn([0.0], [(0, 1, 1)], 1), drawn([0.0], [(0, 1, 1)], 1, threshold=0.04)
    rows = np.unique(np.argwhere((without != with_line).any(axis=2))[:, 0])
    assert len(rows) == 2
    assert rows.sum() == 49


def test_where_the_sound_ends_before_the_film_there_is_silence() -> None:
    picture = drawn([0.5], [(0, 4, 1)], 4)
    assert ink(picture, 10) > 30
    assert [ink(picture, column) for column in (26, 50, 99)] == [2, 2, 2]


def test_a_cut_narrower_than_a_column_still_darkens_it() -> None:
    picture = drawn([0.0] * 100, [(0, 50, 1), (51, 100, 1)], 100, width=10)
    assert picture[0, 4].max() == picture[0, 0].max()
    assert picture[0, 0].max() - 10 < picture[0, 5].max() < picture[0, 0].max()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 3), (61, 60), (4096, 1024)])
@pytest.mark.parametrize("levels", [[], [0.2, 0.0]])
def test_a_picture_has_the_size_asked_for_whatever_there_is_to_draw(
    width: int, height: int, levels: list[float]
) -> None:
    assert drawn(levels, [], 2, width=width, height=height, threshold=0.04).shape == (height, width, 3)


def test_a_tall_picture_has_times_below_it() -> None:
    picture = drawn([0.0] * 42, [(0, 42, 1)], 42, width=400, height=100)
    axis = picture[-15:]
    label = lettering("0:10")
    dark = (axis < 100).all(axis=2)
    at = 10 * 400 // 42
    assert (dark[5 : 5 + label.shape[0], at + 4 : at + 4 + label.shape[1]] == label).all()
