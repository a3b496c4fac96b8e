"""Two models side by side."""

from __future__ import annotations

import json
import time

import pytest

from exporters import race
from exporters.cli import main

BICUBIC, ENHANCE, INT8 = "upscale_bicubic_x2", "enhance_x2", "enhance_x2_int8"


@pytest.fixture(autouse=True)
def soon_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "_SECONDS", 0.0)


def test_two_models_are_timed_in_pairs_for_each_number_of_threads(capsys: pytest.CaptureFixture) -> None:
    assert (
        main(["bench", BICUBIC, "--beside", INT8, "--size", "64x48", "--threads", "1", "--threads", "2", "--json"]) == 0
    )
    races = [json.loads(line)["race"] for line in capsys.readouterr().out.splitlines()]
    assert [each["threads"] for each in races] == [1, 2]
    assert all(each["pairs"] >= 5 for each in races)
    assert all(each[side][clock] > 0 for each in races for side in ("first", "second") for clock in ("ms", "cpu_ms"))
    assert (races[0]["first_model"], races[0]["second_model"]) == (BICUBIC, INT8)


def test_the_second_model_is_so_many_times_as_fast(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    clock = [0.0]
    monkeypatch.setattr(race.time, "perf_counter", lambda: clock[0])

    def session(graph: bytes, *, threads: int):
        cost = 0.001 * len(graph)  # the graph in integers is a third of the other

        def run(feeds: object) -> dict:
            clock[0] += cost
            return {}

        return run

    monkeypatch.setattr(race, "session", session)
    assert main(["bench", ENHANCE, "--beside", INT8, "--size", "64x48", "--threads", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["race"]
    assert found["speedup"] == pytest.approx(found["first"]["ms"] / found["second"]["ms"])
    assert found["speedup"] > 2


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--beside", INT8, "--write"], 2, "--beside"),
        (["--threads", "1"], 2, "--beside"),
        (["--beside", "no_such"], 1, "no_such"),
        (["--beside", INT8, "--batch", "2"], 1, "takes 1 frames at a time, not 2"),
    ],
)
def test_what_cannot_be_compared_is_said(
    arguments: list[str], status: int, says: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["bench", BICUBIC, "--size", "64x48", *arguments]) == status
    assert says in capsys.readouterr().err


def test_processor_time_is_that_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> dict:
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass
        return {}

    assert race._timed(run, 2).cpu_ms == pytest.approx(10, abs=5)
