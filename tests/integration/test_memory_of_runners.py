"""A runner's private memory does not grow with the length of the clip."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from clips import Clip, Pixels, Sound, make_clip
from hostile.corpus import NOWHERE
from hostile.drive import Case, Driver

from coordinator.settings import RunnerSettings, runner_environment
from framewire.v1.job_pb2 import OutputSettings


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


async def test_the_largest_pictures_that_are_taken_fit_into_a_runner(tmp_path: Path) -> None:
    # 4096x2304 H.264 with three references, 12 frames; encoded as H.264 at the default preset
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    options = (("preset", "ultrafast"), ("refs", "3"))
    clip = make_clip(
        tmp_path / "large.mp4", Clip(width=4096, height=2304, frames=12, options=options, sounds=()), stripes
    )
    case = Case(group="size", name="large.mp4", data=clip.read_bytes())
    runner = RunnerSettings(environment=runner_environment(os.environ))
    driver = Driver(runner=runner, folder=jobs, inference=NOWHERE, output=OutputSettings())
    (large,) = await driver.run([case], at_once=1)
    assert large.result == "done", large.message
    assert large.private <= 512 << 20, large.private >> 20


def stripes(clip: Clip, number: int) -> Pixels:
    """A picture that is quickly drawn, and moves."""
    row = ((np.arange(clip.width) + 8 * number) % 251).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (clip.height, clip.width, 3)))
