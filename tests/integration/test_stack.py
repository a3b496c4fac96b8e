"""The local stack with its real servers: start, refuse, restart, stop, start again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from clips import Clip, make_clip
from local_stack import FRAMEWIRE, QUICK_STEP, processes_of

from framewire.client import Client
from framewire.client.run import ClipOrder, RunObserver, run_clip
from framewire.errors import ErrorCode, LocalError
from framewire.stack.child import Child
from framewire.stack.local import LocalStack
from framewire.stack.ports import PortChooser
from framewire.stack.settings import StackSettings
from framewire.stack.spec import Phase
from framewire.steps.parse import parse_step
from framewire.v1.job_pb2 import JOB_STATE_CANCELLED

SERVERS = ["nats", "s3", "triton", "gateway", "coordinator"]


def settings(data: Path, **more: object) -> StackSettings:
    return StackSettings(data=data, environment=os.environ, **more)  # type: ignore[arg-type]  # test's own keywords


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A second of 64x48 H.264 with stereo AAC in MP4."""
    return make_clip(tmp_path / "clip.mp4", Clip())


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LocalStack]:
    port = PortChooser().choose(None)
    async with LocalStack(settings(tmp_path / "data", grpc_port=port)) as running:
        assert running.state.grpc == f"127.0.0.1:{port}"
        yield running


async def one_job(stack: LocalStack, clip: Path, output: Path) -> str:
    """The id of a job that has succeeded."""
    async with Client(stack.state.grpc) as client:
        order = ClipOrder(clip=clip, steps=[parse_step(QUICK_STEP)], output=output)
        return (await run_clip(client, order, RunObserver())).job_id


def listeners(data: Path) -> set[str]:
    """Addresses on which processes of the stack listen."""
    found = set()
    for pid in processes_of(data):
        with contextlib.suppress(psutil.Error):
            found |= {each.laddr.ip for each in psutil.Process(pid).net_connections("inet") if each.status == "LISTEN"}
    return found


async def test_everything_is_ready_private_and_on_loopback_after_start(stack: LocalStack) -> None:
    state = stack.state
    assert [(service.name, service.phase) for service in state.services] == [(name, "ready") for name in SERVERS]
    assert stack.folder.running() == state
    assert listeners(stack.folder.root) <= {"127.0.0.1", "::ffff:127.0.0.1"}
    keys = stack.folder.keys()
    for pid in processes_of(stack.folder.root):
        shown = " ".join(psutil.Process(pid).cmdline())
        assert not any(key in shown for key in (keys.triton_key, keys.s3_secret_key, keys.nats_password))


async def test_a_second_stack_in_the_folder_and_a_port_that_is_taken_are_refused(
    stack: LocalStack, tmp_path: Path
) -> None:
    with pytest.raises(LocalError) as caught:
        await LocalStack(settings(tmp_path / "data")).start()
    assert caught.value.code is ErrorCode.STACK_ALREADY_RUNNING
    port = int(stack.state.grpc.rpartition(":")[2])
    with pytest.raises(LocalError, match=f"port {port} is taken") as caught:
        await LocalStack(settings(tmp_path / "other", grpc_port=port)).start()
    assert caught.value.code is ErrorCode.CONFIG_INVALID
    assert stack.folder.running() is not None
    assert processes_of(tmp_path / "other") == {}


async def test_what_was_done_is_still_there_the_next_time(clip: Path, tmp_path: Path) -> None:
    async with LocalStack(settings(tmp_path / "data")) as first:
        job = await one_job(first, clip, tmp_path / "out.mp4")
    async with LocalStack(settings(tmp_path / "data")) as second, Client(second.state.grpc) as client:
        record = await client.get_job(job)
        await client.download(record.output_asset_ids[0], tmp_path / "again.mp4")
        numbers = [event.number async for event in client.watch(job)]
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "out.mp4").read_bytes()
    assert numbers[-1] == record.last_event


async def test_every_server_that_is_killed_comes_back_at_its_address_and_jobs_go_through(
    clip: Path, tmp_path: Path
) -> None:
    back: asyncio.Queue[str] = asyncio.Queue()

    def changed(child: Child) -> None:
        if child.restarts and child.phase is Phase.READY:
            back.put_nowait(child.spec.name)

    async with LocalStack(settings(tmp_path / "data"), changed=changed) as stack:
        before = stack.state
        for service in before.services:
            assert service.pid
            os.kill(service.pid, signal.SIGKILL)
        async with asyncio.timeout(90):
            names = {await back.get()}
            while names != set(SERVERS):
                names.add(await back.get())
            await one_job(stack, clip, tmp_path / "out.mp4")
        after = stack.state
        assert [each.address for each in after.services] == [each.address for each in before.services]
        assert all(each.restarts for each in after.services)


async def test_a_server_that_cannot_start_fails_the_start_with_the_end_of_its_log(tmp_path: Path) -> None:
    stack = LocalStack(settings(tmp_path / "data"))
    stack.folder.create()
    stack.folder.database.mkdir()  # SQLite cannot open a folder
    with pytest.raises(LocalError, match="gateway exited with code 1") as caught:
        await stack.start()
    assert caught.value.code is ErrorCode.STACK_START_FAILED
    assert processes_of(tmp_path / "data") == {}
    assert not stack.folder.state_file.exists()


@contextlib.asynccontextmanager
async def running_by_itself(clip: Path, tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`framewire run` with a stack of its own, at the moment its job has begun to process frames."""
    argv = [FRAMEWIRE, "run", str(clip), "--step", QUICK_STEP, "-o", str(tmp_path / "out" / "out.mp4"), "--json"]
    (tmp_path / "out").mkdir()
    process = await asyncio.create_subprocess_exec(
        *argv, "--data", str(tmp_path / "data"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        async with asyncio.timeout(90):
            async for line in process.stdout:
                if int(json.loads(line).get("event", {}).get("progress", {}).get("framesDone", 0)):
                    break
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_ctrl_c_in_a_run_cancels_its_job_and_leaves_nothing(tmp_path: Path) -> None:
    long_clip = make_clip(tmp_path / "long.mp4", Clip(width=320, height=240, frames=1500))  # a minute of H.264
    async with running_by_itself(long_clip, tmp_path) as process:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode().splitlines() == ["framewire: CANCELLED: stopped by SIGINT"]
    assert list((tmp_path / "out").iterdir()) == []
    assert processes_of(tmp_path / "data") == {}
    async with LocalStack(settings(tmp_path / "data")) as stack, Client(stack.state.grpc) as client:
        (job,) = await client.list_jobs()
        events = [event async for event in client.watch(job.job_id)]
    assert events[-1].status.state == JOB_STATE_CANCELLED
