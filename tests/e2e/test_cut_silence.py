"""A talk is looked at, its list edited, and cut by it, through every real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clips import read_clip
from local_stack import Stack
from talking_clips import Talk, make_talk


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 s of 96x64 H.264 at 25 fps: two words of a second each."""
    return make_talk(tmp_path_factory.mktemp("talk") / "talk.mp4", Talk(seconds=6, words=((1, 2), (4, 5))))


def test_a_list_that_was_estimated_and_edited_is_what_is_cut(stack: Stack, talk: Path, tmp_path: Path) -> None:
    picture = tmp_path / "cuts.png"
    estimate = stack.run("estimate", talk, "--step", "cut_silence", "--picture", picture, "--json")
    assert estimate.code == 0, estimate.err
    (record,) = estimate.records
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(record["cuts"]["spans"]) == 2
    del record["cuts"]["spans"][1]
    edited = tmp_path / "list.json"
    edited.write_text(json.dumps(record))
    result = tmp_path / "out.mp4"
    run = stack.run("run", talk, "--step", f"cut_silence:cuts=@{edited}", "-o", result)
    assert run.code == 0, run.err
    start, end = (float(record["cuts"]["spans"][0][name].rstrip("s")) for name in ("start", "end"))
    assert len(read_clip(result).pictures) == round((end - start) * 25)


def test_what_would_be_cut_is_read_by_people(stack: Stack, talk: Path) -> None:
    answer = stack.run("estimate", talk, "--step", "cut_silence:margin=0.1s\\,0.3s", "--step", "denoise")
    assert answer.code == 0, answer.err
    assert "of 6.00 s, cuts" in answer.out
    assert "denoise: 96x64" in answer.out
    assert "on the gpu lane" in answer.out


def test_speech_is_looked_for_inside_a_jobs_sandbox(stack: Stack, talk: Path, tmp_path: Path) -> None:
    # tones are no speech: that this is found out takes the network and its weights
    answer = stack.run("run", talk, "--step", "cut_silence:detector=speech", "-o", tmp_path / "out.mp4")
    assert answer.code == 1
    assert "CUT_NOTHING_LEFT" in answer.err
