"""A real browser calls the gateway from a page of another origin."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from browser import CHROMIUM, browser

from framewire.v1.job_pb2 import JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED
from framewire.v1.step_pb2 import LANE_GPU
from gateway.rest.settings import HttpSettings

SERVE = Path(__file__).resolve().parents[3] / "clients" / "web" / "serve.py"
OVER = "/^(ended|failed)/.test(document.title)"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


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
            page = f"{origin}/grpc-web.html?gateway={here.url('')}"
            async with browser(tmp_path) as window:
                shown = await window.shown(f"{page}&job={job.job_id}", once=OVER)
                missing = await window.shown(f"{page}&job=nonsense", once=OVER)
    if allowed:
        assert "<title>ended</title>" in shown
        assert f"<li>{first} status</li><li>{last} status</li>" in shown
        assert "failed: 3 job_id: this is not a job id" in missing
    else:
        assert "failed:  Failed to fetch" in shown
