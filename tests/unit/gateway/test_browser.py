"""A real browser calls the gateway from a page of another origin."""

from __future__ import annotations

import asyncio
import runpy
import shutil
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from framewire.v1.job_pb2 import JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED
from framewire.v1.step_pb2 import LANE_GPU
from gateway.rest.settings import HttpSettings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SERVE = Path(__file__).resolve().parents[3] / "clients" / "web" / "serve.py"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


async def dom(address: str, profile: Path) -> str:
    """What a page shows when it has come to rest."""
    argv = [
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--dump-dom", address,
    ]  # fmt: skip
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, stderr=quiet)
    try:
        async with asyncio.timeout(90):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return out.decode()


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_page_watches_a_job_over_grpc_web_where_its_origin_may(with_settings, tmp_path, allowed):
    pages = TestServer(runpy.run_path(str(SERVE))["application"]("http://127.0.0.1:1"), host="127.0.0.1")
    async with pages:
        origin = str(pages.make_url("")).rstrip("/")
        origins = (origin,) if allowed else ("https://elsewhere.example",)
        async with with_settings(http=HttpSettings(origins=origins)) as here:
            job = await here.submit((await here.upload()).asset_id)
            await here.bus.jobs.pull([LANE_GPU], wait=5)
            first = await here.say(job.job_id, JOB_STATE_RUNNING)
            last = await here.say(job.job_id, JOB_STATE_SUCCEEDED)
            await here.recorded(job.job_id, last)
            shown = await dom(f"{origin}/grpc-web.html?job={job.job_id}&gateway={here.url('')}", tmp_path)
            missing = await dom(f"{origin}/grpc-web.html?job=nonsense&gateway={here.url('')}", tmp_path)
    if allowed:
        assert "<title>ended</title>" in shown
        assert f"<li>{first} status</li><li>{last} status</li>" in shown
        assert "failed: 3 job_id: this is not a job id" in missing
    else:
        assert "failed:  Failed to fetch" in shown
