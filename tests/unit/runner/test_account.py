"""Where the time goes."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest
from clips import Clip, make_clip
from jobs import process

from coordinator import account
from coordinator.account import Account
from coordinator.usage import usage_lines


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(account, "time", clock)
    return clock


def test_requests_under_way_together_count_once(clock: Clock) -> None:
    times = Account()
    first: Future[None] = Future()
    second: Future[None] = Future()
    times.while_any("model", first)
    clock.now = 1.0
    times.while_any("model", second)
    clock.now = 3.0
    second.set_result(None)
    clock.now = 4.0
    first.set_result(None)
    clock.now = 9.0
    (part,) = times.parts()
    assert (part.name, part.seconds, part.times) == ("model", 4.0, 2)


def test_getting_an_item_counts_and_using_it_does_not(clock: Clock) -> None:
    times = Account()

    def items() -> list[int]:
        return [1, 2]

    for _ in times.each("decode", items()):
        clock.now += 5.0
    (part,) = times.parts()
    assert part.seconds == 0.0


def test_every_part_of_a_frames_way_is_accounted_for(tmp_path: Path) -> None:
    result = process(make_clip(tmp_path / "in.mp4", Clip(frames=20)), tmp_path / "out.mp4", "x2")
    parts = {part.name: part for part in result.parts}
    assert set(parts) == {
        "decode", "to RGB", "compare", "model 1", "to YUV", "encode", "close units", "assemble",
    }  # fmt: skip
    assert all(part.seconds > 0 for part in result.parts)
    assert all(0 <= stage.occupancy <= 1 for stage in result.usage)
    lines = list(usage_lines(result))
    assert any(line.startswith("part decode: ") and "ms a frame" in line for line in lines)
    assert lines[-1] == "20 frames went through the models, 0 repeat the one before"
