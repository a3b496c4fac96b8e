"""The Python client: everything the API can do, with typed errors and watches that reconnect by themselves.

async with Client("127.0.0.1:7600") as client:
    asset = await client.upload(Path("in.mp4"))
    job = await client.create_job([asset.asset_id], [parse_step("enhance:scale=2")])
    async for event in client.watch(job.job_id):
        print(event)
    job = await client.get_job(job.job_id)
    await client.download(job.output_asset_ids[0], Path("out.mp4"))
"""

from framewire.client.client import Client, ClientSettings

__all__ = ["Client", "ClientSettings"]
