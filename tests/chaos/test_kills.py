"""Real jobs that are killed, retried and watched while they run: a few of what `make kills` does many times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import av
import pytest
from chaos.kills import CLIP, ENDS_WITHIN, Range, first_watchable, shoot, shooting_range, table
from servers import NatsServer, S3Server
from triton_server import RunningTriton

from framewire.jobs.segments import fold
from framewire.v1.job_pb2 import JOB_STATE_FAILED, JOB_STATE_QUEUED, JOB_STATE_RUNNING, Event, Job, StatusChange
from gateway.playlists import Playlists

POINTS, SEED = 3, 40


@pytest.fixture
async def place(
    own_nats_server: NatsServer, s3_server: S3Server, triton_server: RunningTriton, tmp_path: Path
) -> AsyncIterator[Range]:
    async with shooting_range(tmp_path, own_nats_server, s3_server, triton_server, workers=["k1"]) as place:
        yield place


@pytest.mark.timeout(int(ENDS_WITHIN * POINTS))
async def test_a_job_that_was_killed_at_any_moment_comes_to_what_it_would_have_come_to(
    place: Range, capsys: pytest.CaptureFixture[str]
) -> None:
    points = await shoot(place, POINTS, SEED)
    with capsys.disabled():
        print("\n" + table(points, seed=SEED))
    assert all(point.same for point in points)
    assert any(point.committed and point.starts > 1 for point in points)  # one that had done nothing proves nothing
    assert max(point.redone for point in points) <= 1
    assert all(point.attempts == 1 for point in points if point.target == "stop")


@pytest.mark.timeout(ENDS_WITHIN)
async def test_a_job_that_failed_and_is_retried_by_hand_goes_on_behind_its_segments(place: Range) -> None:
    expected, _, _ = await place.undisturbed()
    order = await place.order(attempts=1)
    running = await place.rig.until(order, lambda event: event.status.state == JOB_STATE_RUNNING)
    await place.rig.until(order, lambda event: event.HasField("segment") and event.segment.index == 1)
    await place.strike("runner", running.status.worker)
    failed = [event async for event in place.rig.bus.events.read(order.job_id)]
    assert failed[-1].status.state == JOB_STATE_FAILED
    kept = fold(failed)
    await place.rig.say(order, attempt=1, status=StatusChange(state=JOB_STATE_QUEUED, message="asked for again"))
    order.max_attempts = 2
    await place.rig.bus.jobs.publish(order)
    events = await place.until_end(order)
    assert fold(events)[: len(kept)] == kept  # none of them was made again
    assert await place.result(order, events[-1]) == expected


@pytest.mark.timeout(ENDS_WITHIN)
async def test_what_is_committed_plays_while_the_rest_is_made(place: Range, tmp_path: Path) -> None:
    playlists = Playlists(place.rig.bus.events, place.rig.store)  # type: ignore[arg-type]  # this store signs
    order = await place.order()
    seen: list[Event] = []
    async for event in place.rig.bus.events.read(order.job_id):
        seen.append(event)
        if event.HasField("segment") and event.segment.index == 2:
            break
    playlist = tmp_path / "film.m3u8"
    playlist.write_text(await playlists.playlist(Job(job_id=order.job_id, workspace_id="ws")) + "#EXT-X-ENDLIST\n")
    with av.open(
        str(playlist),
        format="hls",
        options={"allowed_extensions": "ALL", "extension_picky": "0", "protocol_whitelist": "file,http,tcp,crypto"},
    ) as film:
        video = film.streams.video[0]
        times = [float(frame.pts * video.time_base) for frame in film.decode(video)]
    expected = sum(each.segment.frames for each in fold(seen))
    assert (video.width, video.height) == (2 * CLIP.width, 2 * CLIP.height)
    assert len(times) >= expected > 0
    step = 1 / float(CLIP.rate)
    assert [b - a for a, b in pairwise(times)] == pytest.approx([step] * (len(times) - 1), abs=1e-3)
    events = await place.until_end(order)
    waited = first_watchable(events)
    assert waited is not None
    assert waited < 10.0  # below 2 s in peace, as `make kills` prints; this machine tests other things besides
