"""Programs that look into files: nothing of them stays."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from framewire.errors import MediaError
from gateway.programs import Program, Unusable


@pytest.mark.parametrize("last", ["wait", "exit 0"])
async def test_what_a_program_has_started_ends_with_it(tmp_path: Path, last: str) -> None:
    told = tmp_path / "pid"
    script = f"sleep 1000 & echo $! > {told}; {last}"
    program = Program(argv=("/bin/sh", "-c", script), environment={"PATH": "/usr/bin:/bin"}, timeout=1.0)
    with pytest.raises(MediaError):
        await program.ask()
    gone, left = await asyncio.to_thread(psutil.wait_procs, _alive(int(told.read_text())), timeout=5)
    assert left == [], gone


async def test_one_that_says_too_much_is_not_waited_for() -> None:
    program = Program(argv=("/bin/cat", "/dev/zero"), environment={}, timeout=60.0, most_said=1 << 16)
    with pytest.raises(Unusable, match="65536 bytes"):
        await asyncio.wait_for(program.ask(), timeout=20)


def _alive(pid: int) -> list[psutil.Process]:
    """Nothing waits for an orphan here: one that is dead may stay as a zombie."""
    try:
        process = psutil.Process(pid)
        return [] if process.status() == psutil.STATUS_ZOMBIE else [process]
    except psutil.NoSuchProcess:
        return []
