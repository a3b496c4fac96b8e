"""The scenarios that need no script, with real media through real Triton."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import aiohttp
from clips import Clip, make_clip
from play import SCENARIOS, Player, events_of, load
from wires import all_wires

from framewire.stack.local import LocalStack
from framewire.stack.settings import StackSettings


async def test_a_clip_is_enlarged_over_every_wire(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", Clip()).read_bytes()  # a second of 64x48 H.264
    scenarios = [load(path) for path in SCENARIOS]
    (scenario,) = [each for each in scenarios if each.get("real")]
    transcripts: dict[str, Any] = {}
    jobs: list[str] = []
    async with (
        LocalStack(StackSettings(data=tmp_path / "data", environment=os.environ)) as stack,
        aiohttp.ClientSession() as http,
    ):
        wires = all_wires(http, stack.state.grpc, stack.state.rest)
        for wire in wires:
            player = Player(wire, http, lambda upload: clip)
            await player.play(scenario)
            transcripts[wire.name] = player.transcript
            jobs += player.jobs
        seen = [await events_of(wire, jobs[0]) for wire in wires]
    assert len(jobs) == len(wires)
    assert all(events == seen[0] for events in seen)
    stories = [[step for step in transcript if step[0] == "watch"] for transcript in transcripts.values()]
    assert all(story == stories[0] for story in stories)
