"""Renting workers by backlog."""

from __future__ import annotations

import pytest

from framewire.jobs.scaling import Action, Scaling, ScalingRules, Sight

RULES = ScalingRules(above=10, idle=300, boot=600)


@pytest.fixture
def scaling() -> Scaling:
    return Scaling(RULES)


def sight(now: float, *, waiting: int = 0, rented: int = 0, running: int = 0) -> Sight:
    return Sight(now=now, waiting=waiting, rented=rented, running=running)


def test_workers_are_rented_when_more_jobs_wait_than_allowed(scaling: Scaling) -> None:
    assert scaling.decide(sight(0, waiting=10)) is Action.NOTHING
    assert scaling.decide(sight(5, waiting=11)) is Action.START


def test_a_start_that_failed_is_tried_again_one_that_succeeded_is_not(scaling: Scaling) -> None:
    assert scaling.decide(sight(0, waiting=11)) is Action.START
    assert scaling.decide(sight(5, waiting=11)) is Action.START
    scaling.done(Action.START, now=5)
    assert scaling.decide(sight(10, waiting=50)) is Action.NOTHING


def test_rented_workers_go_back_when_there_was_nothing_to_do_for_them_long_enough(scaling: Scaling) -> None:
    scaling.done(Action.START, now=0)
    assert scaling.decide(sight(100, waiting=11, rented=1)) is Action.NOTHING
    assert scaling.decide(sight(200, waiting=3, rented=1)) is Action.NOTHING
    assert scaling.decide(sight(499, waiting=3, rented=1)) is Action.NOTHING
    assert scaling.decide(sight(500, waiting=3, rented=1)) is Action.STOP
    scaling.done(Action.STOP, now=500)
    assert scaling.decide(sight(900)) is Action.NOTHING


def test_a_job_that_runs_keeps_rented_workers_and_the_wait_begins_anew_behind_it(scaling: Scaling) -> None:
    scaling.done(Action.START, now=0)
    assert scaling.decide(sight(0, rented=1)) is Action.NOTHING
    assert scaling.decide(sight(250, rented=1, running=1)) is Action.NOTHING
    assert scaling.decide(sight(1000, rented=1, running=1)) is Action.NOTHING
    assert scaling.decide(sight(1001, rented=1)) is Action.NOTHING
    assert scaling.decide(sight(1300, rented=1)) is Action.NOTHING
    assert scaling.decide(sight(1301, rented=1)) is Action.STOP


def test_workers_that_are_there_already_are_given_back_too(scaling: Scaling) -> None:
    assert scaling.decide(sight(0, rented=2)) is Action.NOTHING
    assert scaling.decide(sight(300, rented=2)) is Action.STOP


def test_workers_that_never_appear_or_get_lost_are_rented_again(scaling: Scaling) -> None:
    scaling.done(Action.START, now=0)
    assert scaling.decide(sight(599, waiting=11)) is Action.NOTHING
    assert scaling.decide(sight(600, waiting=11)) is Action.START
    scaling.done(Action.START, now=600)
    assert scaling.decide(sight(900, waiting=11, rented=1)) is Action.NOTHING
    assert scaling.decide(sight(1400, waiting=11)) is Action.NOTHING
    assert scaling.decide(sight(1500, waiting=11)) is Action.START
