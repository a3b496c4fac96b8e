"""A child that runs but does nothing any more is started again; one that is slow, or was stopped with us, is not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from nursery import BEAT, READY, WAIT, Nursery

from framewire import lifecycle
from framewire.stack.pulse import Heartbeat, Vigil, silence
from framewire.stack.spec import Phase

QUICK = Vigil(pause=0.2, looks=5)


@dataclass
class Answers:
    """A probe that says what it is told to; waits for ever after that."""

    says: list[bool]
    asked: int = 0
    all_said: asyncio.Event = field(default_factory=asyncio.Event)

    async def ready(self) -> bool:
        if not self.says:
            self.all_said.set()
            await asyncio.Event().wait()
        self.asked += 1
        return self.says.pop(0)


async def test_a_child_whose_heart_stops_is_killed_and_started_again_and_it_is_said_why(nursery: Nursery) -> None:
    supervisor = nursery.supervisor(nursery.spec("stopped", READY + BEAT, heartbeat=True), vigil=QUICK)
    await supervisor.start()
    child = supervisor.child("stopped")
    first = child.pid
    assert first
    os.kill(first, signal.SIGSTOP)
    await nursery.changes.until(lambda: child.restarts == 1 and child.phase is Phase.READY)
    assert child.pid not in (None, first)
    (note,) = [note for _, phase, note in nursery.changes.seen if phase is Phase.RESTARTING]
    assert note.startswith("hangs: it has shown no sign of life")


async def test_a_child_without_probe_and_heartbeat_is_left_alone(nursery: Nursery) -> None:
    beating = nursery.spec("beating", READY + BEAT, heartbeat=True)
    supervisor = nursery.supervisor(nursery.spec("still", READY + WAIT), beating, vigil=Vigil(pause=0.001, looks=1))
    await supervisor.start()
    # looked at every millisecond, a heart that beats every ten is found to have stopped: time enough for the other
    await nursery.changes.until(lambda: supervisor.child("beating").restarts == 2)
    assert supervisor.child("still").restarts == 0


async def test_a_server_that_no_longer_answers_its_probe_is_started_again(nursery: Nursery) -> None:
    answers = Answers([True, True, False, True, False, False, True, True])
    spec = nursery.spec("server", WAIT, probe=answers)
    supervisor = nursery.supervisor(spec, vigil=Vigil(pause=0.001, looks=2))
    await supervisor.start()
    child = supervisor.child("server")
    await nursery.changes.until(lambda: child.restarts == 1 and child.phase is Phase.READY)
    async with asyncio.timeout(10):
        await answers.all_said.wait()
    assert child.restarts == 1


async def test_looks_in_vain_count_only_in_a_row() -> None:
    answers = Answers([False, True, False, False, True, False, False, False])
    async with asyncio.timeout(10):
        await silence(answers.ready, Vigil(pause=0.0, looks=3))
    assert answers.asked == 8


async def test_a_supervisor_that_was_stopped_itself_finds_its_children_alive(nursery: Nursery) -> None:
    """The supervisor's loop blocks, as under SIGSTOP, for longer than a child may be silent."""
    supervisor = nursery.supervisor(nursery.spec("one", READY + BEAT, heartbeat=True), vigil=QUICK)
    await supervisor.start()
    child = supervisor.child("one")
    assert child.pid
    os.kill(child.pid, signal.SIGSTOP)
    nap = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(1.5)"]
    subprocess.run(nap, check=True)  # noqa: ASYNC221 - it is to block the loop
    os.kill(child.pid, signal.SIGCONT)
    looks = QUICK.looks + 1
    await silence(Answers([False] * looks).ready, Vigil(pause=QUICK.pause, looks=looks))  # as long as it would take
    assert child.restarts == 0
    assert child.phase is Phase.READY


async def test_a_loop_shows_that_it_turns_until_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_BEAT", 0.001)
    heart = Heartbeat()
    descriptor = os.dup(heart.writing)
    try:
        lifecycle.show_life({lifecycle.ALIVE_FD: str(descriptor)})
        assert not os.get_inheritable(descriptor)
        for _ in range(3):
            heard = Answers([False])
            await silence(heard.ready, Vigil(pause=0.05, looks=1))
            assert await heart.beats()
    finally:
        heart.close()
    await silence(Answers([False]).ready, Vigil(pause=0.05, looks=1))
    os.close(descriptor)  # a beat that went on would now raise in the loop


async def test_nothing_beats_when_nobody_asked_for_it() -> None:
    loop = asyncio.get_running_loop()
    scheduled = len(loop._scheduled)  # type: ignore[attr-defined]  # asyncio's own list; there is no other way to see it
    lifecycle.show_life({})
    assert len(loop._scheduled) == scheduled  # type: ignore[attr-defined]  # as above
