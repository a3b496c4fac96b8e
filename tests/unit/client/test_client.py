"""The client against real servers of a few lines (conftest.py)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from framewire.client import Client, ClientSettings
from framewire.client.errors import from_job
from framewire.client.watch import Patience
from framewire.errors import (
    ErrorCode,
    FramewireError,
    InvalidRequest,
    LocalError,
    NotFound,
    Unavailable,
    Violation,
)
from framewire.v1.job_pb2 import (
    JOB_STATE_FAILED,
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    Error,
    Event,
    StatusChange,
)

if TYPE_CHECKING:
    from conftest import Gateway, Store

CONTENT = bytes(range(256)) * 16_000  # 4 MB: several pieces


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.bin"
    path.write_bytes(CONTENT)
    return path


def numbered(*numbers: int) -> list[Event]:
    """Events of a job; the last one ends it."""
    events = [Event(number=number, status=StatusChange(state=JOB_STATE_RUNNING)) for number in numbers]
    events[-1].status.state = JOB_STATE_SUCCEEDED
    return events


async def test_an_upload_arrives_whole_and_tells_how_far_it_is(client: Client, store: Store, clip: Path) -> None:
    told: list[tuple[int, int]] = []
    asset = await client.upload(clip, advance=lambda done, total: told.append((done, total)))
    assert store.objects["/ast_1"] == CONTENT
    assert asset.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert told == sorted(told)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert len(told) > 2


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"holiday.mp4", "holiday.mp4"),
        ("ünï😀 clip.mkv".encode(), "ünï😀 clip.mkv"),
        (b"new\nline.mkv", "new_line.mkv"),
        (b"not\xffutf-8.mkv", "not_utf-8.mkv"),
        (b"esc\x1b[31m.mkv", "esc_[31m.mkv"),
        (b"back\\slash.mkv", "back_slash.mkv"),
    ],
)
async def test_a_file_is_uploaded_whatever_its_name_is(client: Client, tmp_path: Path, name: bytes, shown: str) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b"bytes")
    assert (await client.upload(path)).filename == shown


async def test_a_pipe_is_not_replaced_by_a_download(client: Client, clip: Path, tmp_path: Path) -> None:
    asset = await client.upload(clip)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(LocalError) as caught:
        await client.download(asset.asset_id, pipe)
    assert caught.value.code is ErrorCode.FILE_UNWRITABLE
    assert pipe.is_fifo()


async def test_an_upload_that_breaks_is_sent_again(client: Client, store: Store, clip: Path) -> None:
    store.failures = 2
    await client.upload(clip)
    assert store.objects["/ast_1"] == CONTENT


async def test_a_store_that_stays_away_is_a_typed_error_without_the_signed_url(
    client: Client, store: Store, clip: Path
) -> None:
    store.failures = 100
    with pytest.raises(Unavailable, match="answered 503") as caught:
        await client.upload(clip)
    assert caught.value.code is ErrorCode.STORE_UNAVAILABLE
    assert "secret" not in caught.value.message
    assert store.requests == ClientSettings().transfer_tries


async def test_a_file_that_is_not_there_is_a_typed_error(client: Client, tmp_path: Path) -> None:
    with pytest.raises(LocalError) as caught:
        await client.upload(tmp_path / "absent.mp4")
    assert caught.value.code is ErrorCode.FILE_NOT_FOUND


async def test_an_empty_file_is_refused_before_anything_is_sent(client: Client, tmp_path: Path, store: Store) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(InvalidRequest, match="is empty"):
        await client.upload(tmp_path / "empty")
    assert store.requests == 0


async def test_a_download_has_the_assets_bytes(client: Client, clip: Path, tmp_path: Path) -> None:
    await client.upload(clip)
    await client.download("ast_1", tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"x" + b[1:]], ids=["shorter", "other bytes"])
async def test_a_damaged_download_leaves_no_file(
    client: Client, store: Store, clip: Path, tmp_path: Path, damage: object
) -> None:
    await client.upload(clip)
    store.damage = damage  # type: ignore[assignment]  # one of the two lambdas above
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Unavailable, match="damaged"):
        await client.download("ast_1", tmp_path / "out.bin")
    assert sorted(tmp_path.iterdir()) == before


async def test_a_damaged_download_leaves_the_file_that_was_there(
    client: Client, store: Store, clip: Path, tmp_path: Path
) -> None:
    await client.upload(clip)
    (tmp_path / "out.bin").write_text("before")
    store.damage = lambda content: content[:-1]
    with pytest.raises(Unavailable):
        await client.download("ast_1", tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_text() == "before"


async def test_a_path_that_cannot_be_written_is_a_typed_error(client: Client, clip: Path, tmp_path: Path) -> None:
    await client.upload(clip)
    with pytest.raises(LocalError) as caught:
        await client.download("ast_1", tmp_path / "absent" / "out.bin")
    assert caught.value.code is ErrorCode.FILE_UNWRITABLE


async def test_the_servers_error_comes_back_with_its_code_and_message(client: Client) -> None:
    with pytest.raises(NotFound) as caught:
        await client.get_job("job_2")
    assert (caught.value.code, caught.value.message) == (ErrorCode.JOB_NOT_FOUND, "no such job")
    assert not caught.value.retryable


async def test_broken_rules_come_back_as_violations(client: Client) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await client.create_job(["ast_1"], [])
    assert caught.value.violations == (Violation("steps[0].enhance.scale", "must be >= 1"),)


async def test_a_method_the_server_does_not_have_is_unimplemented(client: Client) -> None:
    with pytest.raises(FramewireError) as caught:
        await client.steps()
    assert caught.value.code is ErrorCode.UNIMPLEMENTED


async def test_nobody_at_the_address_is_a_typed_error_that_names_it() -> None:
    async with Client("127.0.0.1:1") as client:
        with pytest.raises(Unavailable, match=r"no gateway answers at 127\.0\.0\.1:1") as caught:
            await client.get_job("job_1")
    assert caught.value.code is ErrorCode.SERVER_UNREACHABLE


def test_a_job_error_with_a_code_this_client_does_not_know_is_internal_with_its_message() -> None:
    assert from_job(Error(code="MEDIA_UNREADABLE", message="m")).code is ErrorCode.MEDIA_UNREADABLE
    unknown = from_job(Error(code="FROM_THE_FUTURE", message="m"))
    assert (unknown.code, unknown.message) == (ErrorCode.INTERNAL, "m")


async def test_a_watch_gives_every_event_and_ends_with_the_job(client: Client, gateway: Gateway) -> None:
    gateway.events = numbered(3, 5, 9)
    assert [event.number async for event in client.watch("job_1")] == [3, 5, 9]


async def test_a_watch_that_breaks_goes_on_after_the_last_event(client: Client, gateway: Gateway) -> None:
    gateway.events = numbered(3, 5, 9, 11)
    gateway.break_after = 1
    assert [event.number async for event in client.watch("job_1", after=3)] == [5, 9, 11]
    assert gateway.watched_after == [3, 5, 9]


async def test_a_watch_goes_on_after_a_failure_that_was_retried(client: Client, gateway: Gateway) -> None:
    failed, queued = StatusChange(state=JOB_STATE_FAILED), StatusChange(state=JOB_STATE_QUEUED)
    gateway.events = [Event(number=3, status=failed), Event(number=4, status=queued), *numbered(6, 9)]
    assert [event.number async for event in client.watch("job_1")] == [3, 4, 6, 9]


async def test_a_watch_of_a_failed_job_ends_with_the_stream_before_the_failure_is_recorded(
    client: Client, gateway: Gateway
) -> None:
    gateway.events = [Event(number=3, status=StatusChange(state=JOB_STATE_FAILED))]
    gateway.job.state = JOB_STATE_RUNNING
    assert [event.number async for event in client.watch("job_1")] == [3]


async def test_a_watch_from_the_end_of_a_job_that_has_ended_ends(client: Client, gateway: Gateway) -> None:
    gateway.events = numbered(3)
    gateway.job.state, gateway.job.last_event = JOB_STATE_SUCCEEDED, 3
    assert [event.number async for event in client.watch("job_1", after=3)] == []


async def test_a_watch_outlives_streams_that_reach_their_deadline(gateway: Gateway) -> None:
    gateway.events = [Event(number=1, status=StatusChange(state=JOB_STATE_RUNNING))]
    settings = ClientSettings(stream_timeout=0.2, patience=Patience(first=0.01, most=0.02, total=1.0))
    seen = []
    async with Client(gateway.address, settings) as client:
        async for event in client.watch("job_1"):
            seen.append(event.number)
            if len(gateway.events) == 1:
                gateway.events += numbered(2)
    assert seen == [1, 2]


async def test_a_watch_gives_up_when_nobody_answers_for_as_long_as_its_patience() -> None:
    settings = ClientSettings(patience=Patience(first=0.01, most=0.02, total=0.1))
    async with Client("127.0.0.1:1", settings) as client:
        with pytest.raises(Unavailable) as caught:
            [event async for event in client.watch("job_1")]
    assert caught.value.code is ErrorCode.SERVER_UNREACHABLE


async def test_a_watch_of_what_does_not_exist_fails_at_once(client: Client) -> None:
    with pytest.raises(NotFound):
        [event async for event in client.watch("job_2")]
