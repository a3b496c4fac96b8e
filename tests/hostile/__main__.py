"""`python -m hostile --seed N --count N`: hostile files through real runners; 1 when something went wrong."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # clips, triton_server and this folder

from hostile.corpus import Corpus, public_files, run
from hostile.table import table, violations
from triton_server import start_triton

from coordinator.settings import RunnerSettings, runner_environment
from framewire.v1.step_pb2 import Enhance, Step
from framewire.work.v1.work_pb2 import InferenceAddress


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hostile", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000, help="damaged files")
    parser.add_argument("--number", type=int, help="only this damaged file: what a violation names")
    parser.add_argument("--public", default="", help="only public files whose name has this in it; `none` for none")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--sandbox", default="prefer", help="off: to see that files are not followed even without it")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    environment = {**os.environ, "FRAMEWIRE_LOG_LEVEL": "CRITICAL", "FRAMEWIRE_SANDBOX": options.sandbox}
    runner = RunnerSettings(environment=runner_environment(environment))
    damaged = Corpus(
        seed=options.seed,
        numbers=range(options.count) if options.number is None else [options.number],
        pointing=options.number is None,
    )
    outcomes, sprung = asyncio.run(run(damaged, runner, at_once=options.at_once))
    files = [path for path in public_files() if options.public in path.name] if options.number is None else []
    if files:
        # the public files go through a model too, so that memory is that of a whole job
        with _triton() as address:
            public = Corpus(seed=options.seed, public=files, pointing=False)
            more, also = asyncio.run(
                run(public, runner, at_once=options.at_once, inference=address, steps=[Step(enhance=Enhance(scale=2))])
            )
        outcomes, sprung = [*more, *outcomes], [*sprung, *also]
    print(table(outcomes, sprung))
    return 1 if violations(outcomes, sprung) else 0


@contextlib.contextmanager
def _triton() -> Iterator[InferenceAddress]:
    with tempfile.TemporaryDirectory(prefix="framewire-triton-") as folder, start_triton(Path(folder)) as server:
        yield InferenceAddress(url=server.url, key=server.key, shared_memory=True)


if __name__ == "__main__":
    sys.exit(main())
