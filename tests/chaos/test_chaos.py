"""A bounded drill on real servers: some rounds of seeded faults, every invariant. `make chaos` plays more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chaos.__main__ import drill
from chaos.proxy import FaultProxy, Mood
from chaos.table import p95, table
from servers import S3Server

from framewire.errors import Unavailable
from framewire.storage.s3 import S3ObjectStore, S3Settings

SEED = int(os.environ.get("FRAMEWIRE_CHAOS_SEED", "1"))
ROUNDS = range(8)


@pytest.mark.timeout(400)
async def test_jobs_survive_whatever_dies_around_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rounds, faults = await drill(tmp_path, SEED, list(ROUNDS))
    with capsys.disabled():
        print("\n" + table(rounds, faults, seed=SEED))
    assert [(played.number, played.violations) for played in rounds if played.violations] == []
    strikes = [strike for played in rounds for strike in played.strikes]
    assert any(strike.affected for strike in strikes)  # faults that meet no running job prove nothing
    assert p95(strikes) < 30  # a machine that tests other things besides; `make chaos` says what it is in peace


@pytest.mark.parametrize("mood", [Mood.GONE, Mood.FULL])
async def test_a_bad_way_to_the_store_is_a_store_that_is_unavailable(
    s3_server: S3Server, tmp_path: Path, mood: Mood
) -> None:
    proxy = FaultProxy(int(s3_server.endpoint.rsplit(":", 1)[1]))
    await proxy.start()
    store = S3ObjectStore(
        S3Settings(
            endpoint=f"http://127.0.0.1:{proxy.port}",
            bucket="chaos-proxy",
            access_key=s3_server.access_key,
            secret_key=s3_server.secret_key,
        )
    )
    try:
        await store.ensure_bucket()
        (tmp_path / "file").write_bytes(b"bytes")
        proxy.set(mood)
        with pytest.raises(Unavailable):
            await store.put_file("key", tmp_path / "file")
        proxy.set(Mood.GOOD)
        await store.put_file("key", tmp_path / "file")
        found = await store.head("key")
        assert found is not None
        assert found.size == 5
    finally:
        await store.close()
        await proxy.stop()
