"""Every scenario comes to the same end over every wire, and a job's events are the same on all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from play import SCENARIOS, Player, events_of, load, scripted


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
async def test_every_wire_tells_the_same_story(site: Any, path: Path) -> None:
    scenario = load(path)
    transcripts, jobs = {}, []
    for wire in site.wires:
        player = Player(wire, site.http, scripted)
        await player.play(scenario)
        transcripts[wire.name] = player.transcript
        jobs += player.jobs
    first = transcripts["grpc"]
    for name, transcript in transcripts.items():
        assert transcript == first, name
    for job_id in jobs[:2] + jobs[-1:]:
        seen = [await events_of(wire, job_id) for wire in site.wires]
        assert all(events == seen[0] for events in seen)
        assert seen[0]
