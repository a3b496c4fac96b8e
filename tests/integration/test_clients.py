"""The example clients do what they show, on a real stack."""

from __future__ import annotations

import asyncio
import os
import runpy
import sys
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer
from clips import Clip, make_clip, read_clip

from framewire.stack.local import LocalStack
from framewire.stack.settings import StackSettings

CLIENTS = Path(__file__).resolve().parents[2] / "clients"


async def quickstart(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of clients/python/quickstart.py."""
    program = str(CLIENTS / "python" / "quickstart.py")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, program, *arguments, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_quickstart_brings_the_result_and_the_page_shows_the_job(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", Clip())  # a second of 64x48 H.264
    result = tmp_path / "out.mp4"
    application = runpy.run_path(str(CLIENTS / "web" / "serve.py"))["application"]  # a program, not a package
    async with LocalStack(StackSettings(data=tmp_path / "data", environment=os.environ)) as stack:
        code, out, err = await quickstart(str(clip), str(result), "--server", stack.state.grpc)
        assert (code, err) == (0, "")
        assert out.endswith(f"{result}: 25 frames\n")
        assert read_clip(result).pictures[0].shape == (96, 128, 3)
        async with TestClient(TestServer(application(stack.state.rest), host="127.0.0.1")) as browser:
            page = await (await browser.get("/")).text()
            assert "EventSource" in page
            jobs = (await (await browser.get("/v1/jobs?page_size=20")).json())["jobs"]
            watch = f"/v1/jobs/{jobs[0]['jobId']}:watch"
            stream = await (await browser.get(watch, headers={"Accept": "text/event-stream"})).text()
            assert "event: progress" in stream
            assert "JOB_STATE_SUCCEEDED" in stream
            last = stream.rpartition("id: ")[2].partition("\n")[0]
            assert (await browser.get(watch, headers={"Last-Event-ID": last})).status == 204


async def test_quickstart_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    code, _, err = await quickstart(str(tmp_path / "absent.mp4"), str(tmp_path / "out.mp4"), "--server", "127.0.0.1:1")
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("FILE_NOT_FOUND: ")
