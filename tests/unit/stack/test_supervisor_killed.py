"""A supervisor that is killed leaves nothing: real processes, real SIGKILL."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from nursery import READY, WAIT

from coordinator.inference import regions
from framewire.stack import guardian

# A supervisor with an obedient child, one that ignores TERM, and a grandchild in a session of its own.
SUPERVISOR = """
import asyncio, json, sys
from pathlib import Path
sys.path.insert(0, {helpers!r})
from nursery import DEAF, IGNORE, READY, WAIT, Nursery, spawning

async def main():
    nursery = Nursery(Path({folder!r}))
    guard = nursery.guard()
    guard.state_file.write_text("{{}}")
    open("/dev/shm/" + guard.shm_prefix + "x", "w").close()
    supervisor = nursery.supervisor(
        nursery.spec("obedient", spawning(IGNORE) + READY + WAIT),
        nursery.spec("deaf", DEAF + READY + "while True: signal.pause()"),
    )
    await supervisor.start()
    print(json.dumps({{"guardian": supervisor.guardian_pid, "marker": nursery.marker, "shm": guard.shm_prefix,
                      "obedient": supervisor.child("obedient").pid}}), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Killable:
    """A running supervisor and what it said of itself."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self.process = process
        self.said = json.loads(process.stdout.readline())

    @property
    def processes(self) -> set[int]:
        return guardian.processes(self.said["marker"], ())


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[Killable]:
    code = SUPERVISOR.format(helpers=str(Path(__file__).parent), folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with process:
        running = Killable(process)
        yield running
        process.kill()
    guardian.reclaim(running.said["marker"], (), running.said["shm"], grace=0)


def wait_ended(pids: Iterable[int], *, within: float = 20.0) -> None:
    """Wait until all have ended, and fail when one has not."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([descriptor], [], [], within)
        os.close(descriptor)
        assert ended, f"process {pid} has not ended"


def test_kill_of_the_supervisor_leaves_no_process_no_shared_memory_and_no_state_file(
    killable: Killable, tmp_path: Path
) -> None:
    assert len(killable.processes) == 3
    killable.process.kill()
    wait_ended([killable.said["guardian"]])
    assert killable.processes == set()
    assert list(Path("/dev/shm").glob(killable.said["shm"] + "*")) == []
    assert not (tmp_path / "stack.json").exists()


def test_kill_of_supervisor_and_guardian_still_ends_the_children_that_obey(killable: Killable) -> None:
    os.kill(killable.process.pid, signal.SIGSTOP)  # so that it cannot replace the guardian
    os.kill(killable.said["guardian"], signal.SIGKILL)
    killable.process.kill()
    wait_ended([killable.said["obedient"]])
    assert killable.said["obedient"] not in killable.processes


def test_reclaim_ends_what_such_a_double_kill_left(killable: Killable) -> None:
    os.kill(killable.process.pid, signal.SIGSTOP)
    os.kill(killable.said["guardian"], signal.SIGKILL)
    killable.process.kill()
    wait_ended([killable.said["obedient"]])
    assert guardian.reclaim(killable.said["marker"], (), killable.said["shm"], grace=0.1) == 2
    assert killable.processes == set()


# A runner that makes a region just when it is told to end.
LATE = """
import os, signal
from coordinator.inference import regions

def end(*_):
    regions.create(regions.RegionName.new(), 1 << 16)
    os._exit(0)

signal.signal(signal.SIGTERM, end)
print(flush=True)
signal.pause()
"""


def test_reclaim_removes_shared_memory_that_was_made_at_the_last_moment() -> None:
    marker = f"of-test-{os.getpid()}"
    late = subprocess.Popen(
        [sys.executable, "-c", LATE], env={**os.environ, guardian.MARKER: marker}, stdout=subprocess.PIPE
    )
    with late:
        assert late.stdout
        late.stdout.readline()
        assert guardian.reclaim(marker, (), "", grace=10) == 1
        assert late.wait() == 0
    assert list(Path("/dev/shm").glob(f"framewire-arena.*.{late.pid}.*")) == []


# A runner that is killed between making a region and giving it away.
KILLED = """
import os, signal
from coordinator.inference import regions
regions.create(regions.RegionName.new(), 1 << 16)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_reclaim_removes_the_shared_memory_of_a_runner_that_was_gone_before_it_looked() -> None:
    killed = subprocess.Popen([sys.executable, "-c", KILLED])
    assert killed.wait(30) == -signal.SIGKILL
    mine = regions.RegionName.new()
    memory = regions.create(mine, 1 << 16)
    try:
        guardian.reclaim("a marker nobody has", (), "", grace=0)
        assert list(Path("/dev/shm").glob(f"framewire-arena.*.{killed.pid}.*")) == []
        assert mine.file.exists()  # its maker is alive
    finally:
        memory.close()
        mine.file.unlink(missing_ok=True)


def test_reclaim_leaves_processes_of_others_alone() -> None:
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", READY.partition(";")[0] + "\n" + WAIT]) as other:
        assert guardian.reclaim("a marker nobody has", (), "", grace=0) == 0
        assert other.poll() is None
        other.kill()
