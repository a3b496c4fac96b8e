"""Thousands of seeded schedules of faults, the checks that they can fail, and who waits how long."""

from __future__ import annotations

import math
import time

import pytest
from chaos.simulator import queueing
from chaos.simulator.__main__ import many, table
from chaos.simulator.schedule import FAULTS, play, simulation

SCHEDULES = 2000


def test_no_schedule_of_faults_breaks_an_invariant_and_ten_thousand_fit_into_a_minute(capsys) -> None:
    begun = time.process_time()
    outcomes = many(1, SCHEDULES)
    seconds = time.process_time() - begun
    with capsys.disabled():
        print("\n" + table(outcomes, seconds=seconds))
    assert [(outcome.seed, outcome.violations) for outcome in outcomes if outcome.violations] == []
    assert SCHEDULES / seconds * 60 >= 10_000
    struck = sum((outcome.faults for outcome in outcomes), start=outcomes[0].faults.copy())
    assert set(struck) == set(FAULTS)


@pytest.mark.parametrize(
    ("mutation", "invariant"),
    [
        ("no fence", "one end"),  # the log takes every append, whatever it follows
        ("no guard", "one end"),  # the recorder folds whatever it gets, whenever it comes
        ("shared key", "one result"),  # every attempt stores its result under the same name
        ("ack first", "not lost"),  # a worker removes its order before the log knows the end
    ],
)
def test_a_system_that_is_broken_on_purpose_is_found_out(mutation: str, invariant: str) -> None:
    with simulation():
        found = any(
            name == invariant for seed in range(1, 4000) for name, _ in play(seed, mutation=mutation).violations
        )
    assert found


def test_the_same_seed_plays_the_same_schedule() -> None:
    with simulation():
        once, again = play(17, trace=True), play(17, trace=True)
    assert once.trace == again.trace
    assert once.faults == again.faults


def test_the_lowest_priority_is_not_starved_by_more_work_than_there_are_slots() -> None:
    aged, strict = queueing.starvation(1, 1.1), queueing.starvation(1, 1.1, ageing=math.inf)
    assert strict.longest[3] == math.inf
    assert aged.longest[3] <= aged.longest[0] + 3 * queueing.AGEING_SECONDS + queueing.LENGTH


def test_a_hundred_jobs_of_one_workspace_do_not_hold_up_the_first_of_another() -> None:
    alone = queueing.LENGTH * 2  # one that runs and one window before it
    assert queueing.first_of_another(100, fair=True) <= alone
    assert queueing.first_of_another(100, fair=False) > 10 * alone
