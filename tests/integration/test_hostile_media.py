"""A sample of `make corpus`: hostile files through real runners, and traps that notice who follows them."""

from __future__ import annotations

import os
import random
from pathlib import Path

import av
import pytest
from hostile.canaries import files_that_point, set_traps
from hostile.corpus import Corpus, public_files, run
from hostile.table import table, violations

from coordinator.settings import RunnerSettings, runner_environment

SEED = 1
DAMAGED = 30


def runner(sandbox: str) -> RunnerSettings:
    variables = {**os.environ, "FRAMEWIRE_LOG_LEVEL": "CRITICAL", "FRAMEWIRE_SANDBOX": sandbox}
    return RunnerSettings(environment=runner_environment(variables))


async def test_damaged_files_end_as_a_result_or_a_typed_error() -> None:
    numbers = random.Random(SEED).sample(range(1000), DAMAGED)
    outcomes, sprung = await run(Corpus(seed=SEED, numbers=numbers, pointing=False), runner("prefer"))
    assert violations(outcomes, sprung) == [], table(outcomes, sprung)
    assert {"done", "MEDIA_UNREADABLE"} <= {outcome.result for outcome in outcomes}


async def test_small_public_files_end_as_a_result_or_a_typed_error() -> None:
    files = [path for path in public_files() if path.stat().st_size < 20_000]
    if not files:
        pytest.skip("the public files are not beside this checkout")
    chosen = random.Random(SEED).sample(files, 20)
    outcomes, sprung = await run(Corpus(seed=SEED, public=chosen, pointing=False), runner("prefer"))
    assert violations(outcomes, sprung) == [], table(outcomes, sprung)


async def test_files_that_point_elsewhere_are_not_followed_even_without_a_sandbox() -> None:
    outcomes, sprung = await run(Corpus(seed=SEED, every=4), runner("off"))
    assert violations(outcomes, sprung) == [], table(outcomes, sprung)
    assert len(outcomes) > 20


@pytest.mark.parametrize("name", ["file list.m3u8", "http list.m3u8", "file list.ffconcat"])
def test_the_traps_notice_a_program_that_follows(tmp_path: Path, name: str) -> None:
    with set_traps(tmp_path / "traps") as traps:
        path = tmp_path / name.split()[1]
        path.write_bytes(files_that_point(traps, tmp_path)[name])
        traps.sprung()
        options = {"allowed_extensions": "ALL", "protocol_whitelist": "file,http,tcp", "safe": "0"}
        with av.open(str(path), options=options) as container:
            next(container.decode(video=0))
        assert traps.sprung()
