"""What of a running job can be watched."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from framewire.errors import ErrorCode, NotFound
from framewire.storage.keys import segment_key
from framewire.testing.bus import MemoryBus
from framewire.testing.storage import MemoryObjectStore
from framewire.v1.asset_pb2 import MediaInfo, VideoInfo
from framewire.v1.job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    Event,
    GetPlaylistRequest,
    InputProbed,
    Job,
    Progress,
    Segment,
    StatusChange,
)
from framewire.v1.step_pb2 import ModelInfo
from gateway.hls import Part, media_playlist, target_seconds
from gateway.playlists import Playlists

JOB = Job(job_id="job_a", workspace_id="w")


def a_segment(index: int, *, duration: float = 2.0, header: str = "h1") -> Segment:
    return Segment(
        index=index, start=index * 2.0, duration=duration, size_bytes=1000 + index, header_bytes=700,
        header_sha256=header,
    )  # fmt: skip


def parts(*segments: Segment) -> list[Part]:
    return [Part(segment=segment, url=f"https://store/{segment.index}?signed") for segment in segments]


def test_a_playlist_names_each_segment_as_the_bytes_behind_its_header():
    assert media_playlist(parts(a_segment(0, duration=0.5), a_segment(1)), ended=False) == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:7\n"
        "#EXT-X-TARGETDURATION:5\n"
        "#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-PLAYLIST-TYPE:EVENT\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MAP:URI="https://store/0?signed",BYTERANGE="700@0"\n'
        "#EXTINF:0.500000,\n"
        "#EXT-X-BYTERANGE:300@700\n"
        "https://store/0?signed\n"
        "#EXTINF:2.000000,\n"
        "#EXT-X-BYTERANGE:301@700\n"
        "https://store/1?signed\n"
    )


def test_another_header_is_named_where_it_begins_to_count():
    text = media_playlist(parts(a_segment(0), a_segment(1, header="h2"), a_segment(2, header="h2")), ended=True)
    assert re.findall(r'EXT-X-MAP:URI="https://store/(\d)', text) == ["0", "1"]
    assert text.endswith("\n#EXT-X-ENDLIST\n")


def test_no_segment_of_a_playlist_that_has_ended_is_longer_than_the_target_says():
    assert "#EXT-X-TARGETDURATION:8\n" in media_playlist(parts(a_segment(0, duration=8.4)), ended=True)


@pytest.mark.parametrize(("fps", "target"), [(0, 5), (30, 5), (2, 5), (1, 9), (0.5, 17)])
def test_the_target_of_a_slow_film_is_that_of_its_shortest_segments(fps, target):
    assert target_seconds(fps) == target


class Log:
    """A job's log, and the playlists made of it."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.store = MemoryObjectStore()
        self.playlists = Playlists(self.bus.events, self.store)

    async def say(self, attempt: int = 1, **kind: object) -> None:
        last = await self.bus.events.last(JOB.job_id)
        event = Event(job_id=JOB.job_id, workspace_id="w", attempt=attempt, **kind)
        await self.bus.events.append(event, after=last.number if last else 0)

    async def text(self) -> str:
        return await self.playlists.playlist(JOB)

    async def segments(self) -> list[str]:
        """Keys of the segments the playlist names."""
        return re.findall(r"^memory://(.*)\?", await self.text(), re.MULTILINE)


@pytest.fixture
async def log() -> Log:
    log = Log()
    await log.say(0, status=StatusChange(state=JOB_STATE_QUEUED))
    await log.say(status=StatusChange(state=JOB_STATE_RUNNING))
    return log


async def test_the_playlist_grows_with_the_job(log):
    await log.say(segment=a_segment(0))
    assert await log.segments() == [segment_key("w", "job_a", 1, 0)]
    await log.say(progress=Progress(fraction=0.5))
    await log.say(segment=a_segment(1))
    await log.say(2, segment=a_segment(2))
    assert await log.segments() == [
        segment_key("w", "job_a", attempt, index) for attempt, index in ((1, 0), (1, 1), (2, 2))
    ]
    assert "ENDLIST" not in await log.text()


async def test_the_target_stays_while_the_playlist_grows(log):
    await log.say(input=InputProbed(media=MediaInfo(video=VideoInfo(fps=1.0))))
    targets = []
    for index, duration in enumerate((0.5, 8.0, 30.0)):
        await log.say(segment=a_segment(index, duration=duration))
        targets += re.findall(r"TARGETDURATION:(\d+)", await log.text())
    assert targets == ["9", "9", "9"]


async def test_urls_of_segments_that_were_made_anew_are_forgotten(log):
    await log.say(segment=a_segment(0))
    await log.text()
    await log.say(2, segment=a_segment(0))
    assert await log.segments() == [segment_key("w", "job_a", 2, 0)]
    (view,) = log.playlists._views.values()
    assert list(view.urls) == [segment_key("w", "job_a", 2, 0)]


async def test_before_the_first_segment_one_is_told_to_ask_again(log):
    with pytest.raises(NotFound) as caught:
        await log.text()
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.PLAYLIST_NOT_READY, True)


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (JOB_STATE_QUEUED, ErrorCode.PLAYLIST_NOT_READY),  # just created, nothing was said of it yet
        (JOB_STATE_SUCCEEDED, ErrorCode.PLAYLIST_GONE),  # its log was forgotten long ago
    ],
)
async def test_a_job_without_a_log_is_new_or_long_over(state, code):
    playlists = Playlists(MemoryBus().events, MemoryObjectStore())
    with pytest.raises(NotFound) as caught:
        await playlists.playlist(Job(job_id="job_a", workspace_id="w", state=state))
    assert caught.value.code == code


async def test_a_job_that_failed_with_nothing_done_has_nothing_to_watch(log):
    await log.say(status=StatusChange(state=JOB_STATE_FAILED))
    with pytest.raises(NotFound) as caught:
        await log.text()
    assert caught.value.code == ErrorCode.PLAYLIST_GONE


@pytest.mark.parametrize("end", [JOB_STATE_SUCCEEDED, JOB_STATE_CANCELLED])
async def test_a_job_that_is_over_has_no_playlist_any_more(log, end):
    await log.say(segment=a_segment(0))
    await log.text()
    await log.say(status=StatusChange(state=end))
    with pytest.raises(NotFound) as caught:
        await log.text()
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.PLAYLIST_GONE, False)


async def test_what_a_failed_job_has_made_can_be_watched_and_grows_again_after_a_retry(log):
    await log.say(segment=a_segment(0))
    await log.say(status=StatusChange(state=JOB_STATE_FAILED))
    assert "#EXT-X-ENDLIST" in await log.text()
    await log.say(status=StatusChange(state=JOB_STATE_QUEUED))
    await log.say(2, segment=a_segment(1))
    assert len(await log.segments()) == 2
    assert "#EXT-X-ENDLIST" not in await log.text()


async def test_only_what_is_new_in_the_log_is_read(log, monkeypatch):
    await log.say(segment=a_segment(0))
    await log.text()
    asked, read = [], log.bus.events.read

    def reading(job_id: str, *, after: int = 0) -> object:
        asked.append(after)
        return read(job_id, after=after)

    monkeypatch.setattr(log.bus.events, "read", reading)
    await log.text()
    await log.say(segment=a_segment(1))
    await log.text()
    assert asked == [3]


async def test_a_url_stays_the_same_until_it_is_about_to_run_out(log):
    await log.say(segment=a_segment(0))
    first = await log.text()
    assert await log.text() == first
    view = log.playlists._views[JOB.job_id]
    ((key, signed),) = view.urls.items()
    soon = datetime.now(UTC) + timedelta(minutes=1)
    view.urls[key] = type(signed)(method="GET", url=signed.url, expires=soon)
    assert await log.text() != first


async def test_the_playlist_is_the_body_of_an_answer_on_every_wire(here):
    await here.announce(ModelInfo(name="enhance_x2", scale=2))
    job = await here.submit((await here.upload()).asset_id)
    await here.relayed()
    request = GetPlaylistRequest(job_id=job.job_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.jobs.GetPlaylist(request)
    assert _reason(caught.value) == "PLAYLIST_NOT_READY"
    number = await here.say(job.job_id, JOB_STATE_RUNNING)
    event = Event(job_id=job.job_id, workspace_id="default", attempt=1, segment=a_segment(0))
    await here.bus.events.append(event, after=number)
    answer = await here.jobs.GetPlaylist(request)
    assert answer.content_type == "application/vnd.apple.mpegurl"
    async with here.http.get(here.url(f"/v1/jobs/{job.job_id}/playlist.m3u8")) as response:
        assert response.content_type == "application/vnd.apple.mpegurl"
        assert await response.read() == answer.data
    assert answer.data.startswith(b"#EXTM3U\n")


def _reason(error: grpc.aio.AioRpcError) -> str:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return info.reason
