"""How streams that exist already are treated."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from nats.js.api import KeyValueConfig, StreamConfig
from nats.js.errors import BadRequestError

from framewire.bus.streams import StreamSettings, ensure_streams


class Cluster:
    """Stands for JetStream on several servers, where every stream exists with `replicas` copies."""

    def __init__(self, replicas: int) -> None:
        self.replicas = replicas
        self.updated: list[StreamConfig] = []

    def jetstream(self, *, timeout: float) -> Cluster:
        return self

    async def request(self, subject: str, payload: bytes, *, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(data=b"{}")

    async def add_stream(self, config: StreamConfig) -> None:
        raise BadRequestError(code=400, err_code=10058, description="stream name already in use")

    async def stream_info(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(config=StreamConfig(name=name, num_replicas=self.replicas))

    async def update_stream(self, config: StreamConfig) -> None:
        self.updated.append(config)

    async def create_key_value(self, config: KeyValueConfig) -> None:
        pass


@pytest.mark.parametrize(("there", "wanted", "after"), [(3, 1, 3), (1, 3, 3), (1, 1, 1)])
async def test_a_process_that_starts_never_takes_copies_of_a_stream_away(there: int, wanted: int, after: int):
    cluster = Cluster(there)
    await ensure_streams(cluster, StreamSettings(replicas=wanted))  # type: ignore[arg-type]  # the calls it makes
    assert [config.num_replicas for config in cluster.updated] == [after] * 3
