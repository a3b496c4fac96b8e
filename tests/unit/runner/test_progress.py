"""Progress of frames."""

from __future__ import annotations

import pytest

from coordinator.progress import ProgressMeter
from framewire.v1.job_pb2 import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_first_report_comes_at_once_and_then_twice_a_second(clock: Clock) -> None:
    reports: list[Progress] = []
    meter = ProgressMeter(1000, reports.append, clock=clock)
    for tick in range(100):  # ten seconds, a frame every tenth of one
        clock.now = tick / 10
        meter.update(tick)
    assert reports[0].frames_done == 0
    assert 19 <= len(reports) <= 21


def test_speed_and_time_left_follow_what_happened_lately(clock: Clock) -> None:
    reports: list[Progress] = []
    meter = ProgressMeter(1000, reports.append, clock=clock, window=5)
    for second in range(60):
        clock.now = float(second)
        meter.update(second * 2 if second < 50 else 100 + (second - 50) * 10)
    last = reports[-1]
    assert last.fps == pytest.approx(10)
    assert last.eta.ToTimedelta().total_seconds() == pytest.approx((1000 - last.frames_done) / 10, abs=0.01)


def test_the_last_report_says_all_of_it_even_when_the_container_promised_more(clock: Clock) -> None:
    reports: list[Progress] = []
    meter = ProgressMeter(1000, reports.append, clock=clock)
    meter.update(0)
    meter.finish(990)
    assert (reports[-1].fraction, reports[-1].frames_done, reports[-1].frames_total) == (1.0, 990, 990)


def test_an_unknown_total_gives_no_fraction_and_no_time_left(clock: Clock) -> None:
    reports: list[Progress] = []
    meter = ProgressMeter(0, reports.append, clock=clock)
    meter.update(5)
    assert (reports[0].fraction, reports[0].frames_total, reports[0].HasField("eta")) == (0.0, 0, False)


def test_silence_is_broken_by_repeating(clock: Clock) -> None:
    reports: list[Progress] = []
    meter = ProgressMeter(10, reports.append, clock=clock)
    meter.update(3)
    clock.now = 4.0
    meter.repeat(5.0)
    clock.now = 6.0
    meter.repeat(5.0)
    assert [report.frames_done for report in reports] == [3, 3]


def test_what_comes_before_the_first_frame_counts_and_nothing_goes_back(clock: Clock) -> None:
    reports: list[Progress] = []
    meter = ProgressMeter(100, reports.append, clock=clock, interval=0)
    for share in (0.0, 0.1, 0.3):
        meter.prepare(share)
    for done in (0, 50, 100):
        meter.update(done)
    assert [report.fraction for report in reports] == pytest.approx([0.0, 0.1, 0.3, 0.3, 0.65, 1.0])


def test_time_before_the_first_frame_is_no_slowness_of_frames(clock: Clock) -> None:
    reports: list[Progress] = []
    meter = ProgressMeter(1000, reports.append, clock=clock)
    meter.prepare(0.0)
    clock.now = 3.0
    meter.prepare(0.3)
    for done in (1, 101):
        clock.now += 1.0
        meter.update(done)
    assert not reports[-2].HasField("eta")
    assert (reports[-1].fps, reports[-1].eta.ToMilliseconds()) == (pytest.approx(100), 8990)
