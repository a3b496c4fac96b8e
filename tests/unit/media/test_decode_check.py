"""The decoder beside a plain loop that shares no code with it: the same time stamps, the same samples."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import pytest
from clips import Clip, make_clip, truncate
from rich_clips import Extras, Text, make_rich_clip

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

from decode_check import check, difference, files  # noqa: E402 - a script, not a package

BESIDE = [ROOT.parent / "shared" / folder for folder in ("hostile", "media")]
CLIPS = {
    "b-frames.mp4": Clip(frames=40, options=(("preset", "medium"),)),
    "variable.mkv": Clip(frames=5, pts=[40, 41, 500, 501, 900], time_base=Fraction(1, 1000)),
    "odd.mp4": Clip(width=63, height=47, pixel_format="yuv444p", frames=5),
    "ten-bits.mp4": Clip(pixel_format="yuv422p10le", frames=5),
    "mpeg4.avi": Clip(codec="mpeg4", options=(), frames=10, sounds=()),
    "lossless.mkv": Clip(codec="ffv1", options=(), frames=4, sounds=()),
    "av1.webm": Clip(codec="libsvtav1", options=(("preset", "12"),), frames=10, sounds=()),
}


@pytest.mark.parametrize("name", CLIPS)
def test_generated_files_are_read_as_a_plain_loop_reads_them(tmp_path: Path, name: str) -> None:
    verdict = check(make_clip(tmp_path / name, CLIPS[name]))
    assert (verdict.words, verdict.pictures) == ("equal", CLIPS[name].frames)


def test_a_file_that_breaks_off_is_read_as_far(tmp_path: Path) -> None:
    path = truncate(make_clip(tmp_path / "in.mp4", Clip(frames=50, index_first=True)), 0.6)
    verdict = check(path)
    assert verdict.equal
    assert 5 < verdict.pictures < 50


def test_a_cover_is_not_the_video(tmp_path: Path) -> None:
    path = make_rich_clip(tmp_path / "in.mkv", Extras(texts=(Text(),), cover=True, second_video=True))
    assert check(path).words == "equal"


def test_the_comparison_sees_a_difference() -> None:
    seen = [(0, "a"), (1, "b"), (2, "c")]
    assert difference(seen, list(seen)) == "equal"
    assert difference(seen, [(0, "a"), (1, "x"), (2, "c")]) == "DIFFERENT: the samples of picture 1"
    assert difference(seen, [(0, "a"), (1, "b"), (3, "c")]) == "DIFFERENT: picture 2 at 2, the plain loop has 3"
    assert difference(seen, seen[:2]) == "DIFFERENT: 3 pictures, the plain loop has 2"


@pytest.mark.skipif(not any(folder.is_dir() for folder in BESIDE), reason="no files beside the checkout")
def test_files_beside_the_checkout_are_read_as_a_plain_loop_reads_them() -> None:
    # a sample: `make decode-check` walks all of them
    some = [path for path in files([folder for folder in BESIDE if folder.is_dir()]) if path.stat().st_size < 200_000]
    verdicts = [check(path) for path in some[::5]]
    assert [verdict for verdict in verdicts if verdict.differs] == []
    assert any(verdict.equal for verdict in verdicts)
