"""`python -m coordinator` as it is, but for the program its runners are: jobs that need no codec take a second."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from coordinator import __main__ as program
from coordinator.settings import RunnerSettings

RUNNER = (sys.executable, str(Path(__file__).with_name("paced_runner.py")))

if __name__ == "__main__":
    program.RunnerSettings = functools.partial(RunnerSettings, command=RUNNER)  # type: ignore[misc]  # tests only
    sys.exit(program.main(sys.argv[1:], os.environ))
