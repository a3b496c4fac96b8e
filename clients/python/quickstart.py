"""Upload a clip, make it twice the size, follow the job, download the result.

python clients/python/quickstart.py in.mp4 out.mp4 [--server 127.0.0.1:7600]
"""

# ruff: noqa: T201 - an example says on the terminal what it does

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from framewire.client import Client
from framewire.errors import FramewireError
from framewire.v1.job_pb2 import JOB_STATE_SUCCEEDED, JobState
from framewire.v1.step_pb2 import Enhance, Step


async def enlarge(server: str, clip: Path, result: Path) -> None:
    """One job from start to finish. Raises FramewireError."""
    async with Client(server) as client:
        asset = await client.upload(clip)
        job = await client.create_job([asset.asset_id], [Step(enhance=Enhance(scale=2))])
        last = 0
        async for event in client.watch(job.job_id):
            last = event.number
            if event.HasField("progress"):
                print(f"{event.progress.stage}: {event.progress.fraction:.0%}")
            elif event.HasField("status"):
                print(JobState.Name(event.status.state))
        job = await client.get_recorded(job.job_id, last)
        if job.state != JOB_STATE_SUCCEEDED:
            raise SystemExit(f"{job.error.code}: {job.error.message}" if job.error.code else "the job was cancelled")
        await client.download(job.output_asset_ids[0], result)
        print(f"{result}: {job.fidelity.frames_out} frames")


def main() -> None:
    """Exit code 1 and one line on stderr when something goes wrong."""
    parser = argparse.ArgumentParser(description="Make a clip twice the size.")
    parser.add_argument("clip", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--server", default="127.0.0.1:7600", help="gRPC address of a gateway")
    arguments = parser.parse_args()
    try:
        asyncio.run(enlarge(arguments.server, arguments.clip, arguments.result))
    except FramewireError as error:
        sys.exit(f"{error.code}: {error.message}")


if __name__ == "__main__":
    main()
