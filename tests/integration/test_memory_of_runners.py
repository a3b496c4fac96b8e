"""A runner's private memory does not grow with the length of the clip."""

from __future__ import annotations

import os
from pathlib import Path

from clips import Clip, Sound, make_clip
from hostile.corpus import NOWHERE
from hostile.drive import Case, Driver

from coordinator.settings import RunnerSettings, runner_environment


async def test_a_clip_ten_times_as_long_takes_no_more_memory(tmp_path: Path) -> None:
    # 64x48 H.264 with AAC, 6 s and 60 s: both longer than anything a job keeps in memory
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    cases = [
        Case(group="length", name=f"{frames}.mp4", data=make_clip(tmp_path / f"{frames}.mp4", clip).read_bytes())
        for frames in (150, 1500)
        for clip in [Clip(frames=frames, sounds=(Sound(),))]
    ]
    runner = RunnerSettings(environment=runner_environment(os.environ))
    short, long = await Driver(runner=runner, folder=jobs, inference=NOWHERE).run(cases, at_once=1)
    assert (short.result, long.result) == ("done", "done")
    assert long.private <= short.private * 1.1, (short.private >> 10, long.private >> 10)
