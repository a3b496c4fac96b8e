"""Stages and the channels between them."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from coordinator.flow import Aborted, Channel, EndOfStream, Flow
from framewire.errors import ErrorCode, WorkerError


def test_items_arrive_in_order_and_the_end_is_seen() -> None:
    flow = Flow()
    numbers: Channel[int] = flow.channel("numbers", depth=2)
    seen: list[int] = []
    flow.stage("count", lambda: [numbers.put(number) for number in range(100)] and None, closes=numbers)
    flow.stage("collect", lambda: seen.extend(numbers))
    flow.run()
    assert seen == list(range(100))
    assert {usage.name for usage in flow.usage} == {"count", "collect"}


def test_a_channel_never_holds_more_than_its_depth() -> None:
    flow = Flow()
    numbers: Channel[int] = flow.channel("numbers", depth=3)
    flow.stage("count", lambda: [numbers.put(number) for number in range(50)] and None, closes=numbers)
    flow.stage("collect", lambda: list(numbers) and None)
    flow.run()
    assert 1 <= numbers.high_water <= 3
    assert numbers.passed == 50


def test_taking_from_a_closed_channel_is_the_end_of_the_stream() -> None:
    numbers: Channel[int] = Channel("numbers", 2)
    numbers.put(1)
    numbers.close()
    assert numbers.get() == 1
    with pytest.raises(EndOfStream):
        numbers.get()


def test_first_failure_stops_every_stage() -> None:
    flow = Flow()
    full: Channel[int] = flow.channel("full", depth=1)
    empty: Channel[int] = flow.channel("empty", depth=1)
    ended = []

    def producer() -> None:
        try:
            while True:
                full.put(1)
        finally:
            ended.append("producer")

    def consumer() -> None:
        try:
            list(empty)
        finally:
            ended.append("consumer")

    def failing() -> None:
        full.get()
        raise ZeroDivisionError("the reason")

    flow.stage("producer", producer)
    flow.stage("consumer", consumer)
    flow.stage("failing", failing)
    with pytest.raises(ZeroDivisionError, match="the reason"):
        flow.run()
    assert sorted(ended) == ["consumer", "producer"]


def test_a_failure_ends_the_wait_for_a_request_that_never_ends() -> None:
    flow = Flow()
    never: Future[None] = Future()
    waiting = threading.Event()

    def waits() -> None:
        waiting.set()
        flow.wait(never, timeout=60)

    def fails() -> None:
        waiting.wait(10)
        raise ZeroDivisionError

    flow.stage("waits", waits)
    flow.stage("fails", fails)
    with pytest.raises(ZeroDivisionError):
        flow.run()


def test_stop_from_outside_ends_every_wait() -> None:
    flow = Flow()
    empty: Channel[int] = flow.channel("empty", depth=1)
    flow.stage("waits", lambda: list(empty) and None)
    stopper = threading.Timer(0.01, flow.stop)
    stopper.start()
    with pytest.raises(Aborted):
        flow.run()
    stopper.join()


def test_a_flow_stopped_before_it_runs_starts_nothing() -> None:
    flow = Flow()
    flow.stop()
    flow.stage("never", lambda: pytest.fail("it ran"))
    with pytest.raises(Aborted):
        flow.run()
    with pytest.raises(Aborted):
        flow.channel("late", depth=1).get()


def test_a_flow_in_which_nothing_moves_is_given_up() -> None:
    flow = Flow()
    empty: Channel[int] = flow.channel("empty", depth=1)
    flow.stage("waits", lambda: list(empty) and None)
    with pytest.raises(WorkerError) as failure:
        flow.run(stall=0.02)
    assert failure.value.code == ErrorCode.DEADLINE_EXCEEDED
    assert failure.value.retryable


def test_wait_passes_on_what_the_request_raises() -> None:
    flow = Flow()
    failed: Future[None] = Future()
    failed.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        flow.wait(failed, timeout=1)
    with pytest.raises(TimeoutError):
        flow.wait(Future(), timeout=0.01)
