"""One job from upload to result, over each wire."""

from __future__ import annotations

import hashlib
import json

from framewire.v1.asset_pb2 import ASSET_STATE_READY, Asset
from framewire.v1.job_pb2 import (
    JOB_STATE_QUEUED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    FidelityReport,
    GetJobRequest,
    WatchJobRequest,
)
from framewire.v1.step_pb2 import LANE_GPU

OUTPUT = "ast_0000000000000000000000000z"


async def test_a_job_is_queued_run_and_recorded(here):
    asset = await here.upload(b"a clip")
    assert (asset.state, asset.sha256) == (ASSET_STATE_READY, hashlib.sha256(b"a clip").hexdigest())
    job = await here.submit(asset.asset_id)
    delivery = await here.bus.jobs.pull([LANE_GPU], wait=5)
    assert delivery.order.job_id == job.job_id
    assert delivery.order.inputs[0].sha256 == asset.sha256
    assert delivery.order.output_filename == "cars_432p-enhanced.mp4"
    await here.say(job.job_id, JOB_STATE_RUNNING)
    output = Asset(asset_id=OUTPUT, filename="out.mp4", size_bytes=3, state=ASSET_STATE_READY)
    await here.say(job.job_id, JOB_STATE_SUCCEEDED, outputs=[output], fidelity=FidelityReport(frames_in=7))
    events = [event async for event in here.jobs.WatchJob(WatchJobRequest(job_id=job.job_id))]
    assert [event.status.state for event in events] == [JOB_STATE_QUEUED, JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED]
    recorded = await here.recorded(job.job_id, events[-1].number)
    assert recorded.state == JOB_STATE_SUCCEEDED
    assert (recorded.output_asset_ids, recorded.fidelity.frames_in) == ([OUTPUT], 7)
    assert recorded.HasField("start_time")
    assert recorded.HasField("end_time")
    stored = await here.asset_store.get("default", OUTPUT)
    assert stored.object_key == f"default/results/{job.job_id}/1/{OUTPUT}"
    assert (await here.jobs.GetJob(GetJobRequest(job_id=job.job_id))) == recorded


async def test_the_same_way_over_rest(here):
    body = {"filename": "clip.mp4", "sizeBytes": "6"}
    async with here.http.post(here.url("/v1/assets"), json=body) as answer:
        created = await answer.json()
    asset_id = created["asset"]["assetId"]
    here.store._objects[f"default/uploads/{asset_id}"] = b"a clip"
    async with here.http.post(here.url(f"/v1/assets/{asset_id}:complete")) as answer:
        assert (await answer.json())["state"] == "ASSET_STATE_READY"
    request = {"inputAssetIds": [asset_id], "steps": [{"enhance": {"scale": 2}}], "output": {"crf": 0}}
    async with here.http.post(here.url("/v1/jobs"), json=request) as answer:
        job = await answer.json()
    assert (job["state"], job["output"]) == ("JOB_STATE_QUEUED", {"crf": 0})
    await here.bus.jobs.pull([LANE_GPU], wait=5)
    await here.say(job["jobId"], JOB_STATE_SUCCEEDED)
    async with here.http.get(here.url(f"/v1/jobs/{job['jobId']}:watch")) as answer:
        lines = [json.loads(line) async for line in answer.content]
    assert [line["status"]["state"] for line in lines] == ["JOB_STATE_QUEUED", "JOB_STATE_SUCCEEDED"]
