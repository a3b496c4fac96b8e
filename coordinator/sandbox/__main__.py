"""`python -m coordinator.sandbox`: which layers this machine has, and whether they hold, as one line of JSON.

Enters the sandbox itself, tries what a runner must not be able to do, and is gone.
Exit status 0: everything that was tried was refused.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from coordinator.sandbox import Access, Mode, SandboxLimits, begin, enter, layers, seal
from coordinator.sandbox.trial import attempts


def main() -> int:
    """Print what was found; returns the exit status."""
    found = layers()
    with tempfile.TemporaryDirectory(prefix="framewire-sandbox-") as name:
        folder = Path(name)
        (folder / "other").write_text("of another job")
        (folder / "job").mkdir()
        pid = os.fork()
        if pid == 0:
            os._exit(_inside(folder, [asdict(layer) for layer in found]))
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _inside(folder: Path, found: list[dict[str, object]]) -> int:
    trials = attempts(folder / "job", folder / "other")
    begin(SandboxLimits())
    enter(Access(write=(folder / "job",), ports=(1,)), Mode.PREFER)
    results = {trial.name: trial.outcome() for trial in trials if not trial.sealed}
    seal(Mode.PREFER)
    results |= {trial.name: trial.outcome() for trial in trials if trial.sealed}
    escaped = [trial.name for trial in trials if not trial.as_wanted(results[trial.name])]
    print(json.dumps({"layers": found, "tried": results, "escaped": escaped}), flush=True)  # noqa: T201 - the answer
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
