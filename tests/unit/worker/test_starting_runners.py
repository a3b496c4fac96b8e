"""A worker starts processes while gRPC's threads run, so none of gRPC's fork handlers may run with them."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The C library calls `abort` before every fork(), in the worker's own process and loop.
SCRIPT = """
import ctypes, sys
import coordinator.__main__ as program
from coordinator.child import RunnerProcess
from coordinator.settings import RunnerSettings

libc = ctypes.CDLL(None)
getattr(libc, "__register_atfork")(ctypes.cast(libc.abort, ctypes.c_void_p), None, None, None)

async def serve(settings, variables):
    runner = await RunnerProcess.start(RunnerSettings(command=("/bin/cat",)))
    await runner.stop()
    return 0

program._serve = serve
print("ended", program._run(None, {}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the handlers are the GNU C library's")
def test_a_runner_is_started_without_running_fork_handlers() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, b"ended 0\n"), done.stderr.decode()
