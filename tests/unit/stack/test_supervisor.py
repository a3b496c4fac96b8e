"""The supervisor with real, tiny children."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest
from nursery import DEAF, READY, WAIT, Nursery, spawning

from framewire.errors import ErrorCode, LocalError
from framewire.stack import guardian
from framewire.stack.guard import Guard
from framewire.stack.spec import Backoff, Phase


async def test_start_returns_when_all_children_said_they_are_ready(nursery: Nursery) -> None:
    supervisor = nursery.supervisor(nursery.spec("one", READY + WAIT), nursery.spec("two", READY + WAIT))
    await supervisor.start()
    assert [child.phase for child in supervisor.children] == [Phase.READY, Phase.READY]
    assert supervisor.child("one").facts == {"hello": 1}


async def test_a_child_starts_after_those_it_needs(nursery: Nursery) -> None:
    order = nursery.folder / "order"
    write = f"open({str(order)!r}, 'a').write(NAME + '\\n')\n"
    specs = [
        nursery.spec("late", "NAME = 'late'\n" + write + READY + WAIT, needs=("early",)),
        nursery.spec("early", "NAME = 'early'\n" + write + READY + WAIT),
    ]
    await nursery.supervisor(*specs).start()
    assert order.read_text().split() == ["early", "late"]


async def test_children_stop_in_their_stop_order(nursery: Nursery) -> None:
    order = nursery.folder / "order"
    code = f"""
import os, signal, sys
def end(*_):
    open({str(order)!r}, 'a').write(sys.argv[0].rpartition('/')[2] + '\\n')
    os._exit(0)
signal.signal(signal.SIGTERM, end)
"""
    specs = [nursery.spec(name, code + READY + WAIT, stop_order=at) for at, name in ((2, "c"), (0, "a"), (1, "b"))]
    supervisor = nursery.supervisor(*specs)
    await supervisor.start()
    await supervisor.stop()
    assert order.read_text().split() == ["a.py", "b.py", "c.py"]


async def test_a_child_that_ignores_term_is_killed_after_its_bound(nursery: Nursery) -> None:
    supervisor = nursery.supervisor(nursery.spec("deaf", DEAF + READY + "while True: signal.pause()", stop_timeout=0.1))
    await supervisor.start()
    async with asyncio.timeout(10):
        await supervisor.stop()
    assert guardian.processes(nursery.marker, ()) == set()


async def test_a_child_that_dies_is_started_again_and_it_is_said_why(nursery: Nursery) -> None:
    supervisor = nursery.supervisor(nursery.spec("mortal", READY + WAIT))
    await supervisor.start()
    child = supervisor.child("mortal")
    first = child.pid
    assert first
    os.kill(first, signal.SIGKILL)
    await nursery.changes.until(lambda: child.restarts == 1 and child.phase is Phase.READY)
    assert child.pid not in (None, first)
    notes = [note for _, phase, note in nursery.changes.seen if phase is Phase.RESTARTING]
    assert notes == ["was ended by SIGKILL; starting it again in 0.01 s"]


async def test_a_child_that_keeps_dying_is_started_at_growing_intervals(nursery: Nursery) -> None:
    supervisor = nursery.supervisor(nursery.spec("sick", READY + "raise SystemExit(3)"))
    await supervisor.start()
    child = supervisor.child("sick")
    await nursery.changes.until(lambda: child.restarts >= 4)
    notes = [note for _, phase, note in nursery.changes.seen if phase is Phase.RESTARTING]
    delays = [float(note.split()[-2]) for note in notes[:4]]
    assert delays == [0.01, 0.02, 0.04, 0.05]
    assert notes[0].startswith("exited with code 3")


def test_backoff_doubles_up_to_its_limit() -> None:
    assert [Backoff().delay(deaths) for deaths in (1, 2, 3, 7, 1000)] == [0.5, 1.0, 2.0, 30.0, 30.0]


async def test_a_child_that_exits_while_starting_fails_the_start_with_the_end_of_its_log(nursery: Nursery) -> None:
    broken = nursery.spec("broken", "import sys; print('no such table'); sys.exit(4)")
    supervisor = nursery.supervisor(nursery.spec("fine", READY + WAIT), broken)
    with pytest.raises(LocalError, match=r"broken exited with code 4; log .*broken.log") as caught:
        await supervisor.start()
    assert caught.value.code is ErrorCode.STACK_START_FAILED
    assert "no such table" in caught.value.message
    assert guardian.processes(nursery.marker, ()) == set()


async def test_a_program_that_does_not_exist_fails_the_start(nursery: Nursery) -> None:
    spec = nursery.spec("absent", "")
    object.__setattr__(spec, "argv", ("/no/such/program",))
    with pytest.raises(LocalError, match="cannot execute /no/such/program"):
        await nursery.supervisor(spec).start()


async def test_a_child_that_is_never_ready_fails_the_start_after_the_bound(nursery: Nursery) -> None:
    supervisor = nursery.supervisor(nursery.spec("slow", WAIT), start_timeout=0.5)
    with pytest.raises(LocalError, match=r"slow was not ready after 0.5 s"):
        await supervisor.start()
    assert guardian.processes(nursery.marker, ()) == set()


async def test_a_probe_is_asked_until_it_says_yes(nursery: Nursery) -> None:
    answers = [True, False, False]

    class Probe:
        async def ready(self) -> bool:
            return answers.pop()

    await nursery.supervisor(nursery.spec("probed", WAIT, probe=Probe())).start()
    assert answers == []


async def test_cancelling_a_start_leaves_no_process(nursery: Nursery) -> None:
    supervisor = nursery.supervisor(nursery.spec("fine", READY + WAIT), nursery.spec("slow", WAIT))
    start = asyncio.create_task(supervisor.start())
    await nursery.changes.until(lambda: Phase.READY in nursery.changes.phases("fine"))
    start.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await start
    assert guardian.processes(nursery.marker, ()) == set()


async def test_grandchildren_in_sessions_of_their_own_do_not_outlive_a_stop(nursery: Nursery) -> None:
    supervisor = nursery.supervisor(nursery.spec("parent", spawning(WAIT) + READY + WAIT))
    await supervisor.start()
    assert len(guardian.processes(nursery.marker, ())) == 2
    await supervisor.stop()
    assert guardian.processes(nursery.marker, ()) == set()


async def test_a_guardian_that_is_killed_is_replaced_by_one_that_knows_the_children(nursery: Nursery) -> None:
    guard = Guard(nursery.guard())
    await guard.start()
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", WAIT, start_new_session=True)
    guard.add(child.pid)
    assert guard.pid
    os.kill(guard.pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        await guard.replaced.wait()
        await guard.stop()
        assert await child.wait() == -signal.SIGTERM


async def test_stop_removes_shared_memory_with_the_stacks_prefix(nursery: Nursery) -> None:
    shared = Path("/dev/shm") / f"{nursery.guard().shm_prefix}left_over"
    supervisor = nursery.supervisor(nursery.spec("one", f"open({str(shared)!r}, 'w').write('x')\n" + READY + WAIT))
    await supervisor.start()
    assert shared.exists()
    await supervisor.stop()
    assert not shared.exists()


async def test_a_log_of_the_run_before_is_kept_under_another_name(nursery: Nursery) -> None:
    spec = nursery.spec("one", "print('second run', flush=True)\n" + READY + WAIT)
    spec.log.write_text("first run")
    await nursery.supervisor(spec).start()
    assert spec.log.read_text() == "second run\n"
    assert spec.log.with_name("one.log.1").read_text() == "first run"
