"""Cancellations and workers: small boards kept in JetStream's key-value buckets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

import nats.errors
from nats.js.errors import APIError

from framewire.bus import streams
from framewire.bus.connection import Connection, unavailable_as_typed
from framewire.work.v1.work_pb2 import WorkerStatus

_LOOK_AGAIN = 5.0
_DELETED = "KV-Operation"


class NatsCancellations:
    """A key per job that somebody wants stopped."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def request(self, job_id: str) -> None:
        """Ask for a job to stop."""
        with unavailable_as_typed():
            await self._connection.js.publish(streams.board_subject(streams.CANCELLATIONS, job_id), b"1")

    async def is_requested(self, job_id: str) -> bool:
        """Whether somebody asked."""
        stream = streams.board_stream(streams.CANCELLATIONS)
        subject = streams.board_subject(streams.CANCELLATIONS, job_id)
        return await self._connection.direct_get(stream, {"last_by_subj": subject}) is not None

    async def watch(self) -> AsyncIterator[str]:
        """Job ids as they are asked for; after a lost connection all that are on the board once more."""
        with unavailable_as_typed():
            live = await self._connection.client.subscribe(streams.board_subject(streams.CANCELLATIONS, ">"))
        reconnected = self._connection.reconnected
        try:
            while True:
                if reconnected.is_set():
                    reconnected = self._connection.reconnected
                    async for job_id in self._all():
                        yield job_id
                with contextlib.suppress(nats.errors.TimeoutError):
                    message = await live.next_msg(timeout=_LOOK_AGAIN)
                    yield message.subject.rsplit(".", 1)[-1]
        finally:
            with contextlib.suppress(nats.errors.Error):
                await live.unsubscribe()

    async def _all(self) -> AsyncIterator[str]:
        async for subject, _ in _listing(self._connection, streams.CANCELLATIONS):
            yield subject.rsplit(".", 1)[-1]


class NatsWorkers:
    """A key per worker, forgotten when not repeated."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def announce(self, status: WorkerStatus) -> None:
        """Say that a worker lives."""
        subject = streams.board_subject(streams.WORKERS, streams.board_key(status.worker))
        with unavailable_as_typed():
            await self._connection.js.publish(subject, status.SerializeToString())

    async def withdraw(self, worker: str) -> None:
        """Say that a worker is gone."""
        subject = streams.board_subject(streams.WORKERS, streams.board_key(worker))
        with unavailable_as_typed(), contextlib.suppress(APIError):
            await self._connection.js.purge_stream(streams.board_stream(streams.WORKERS), subject=subject)

    async def live(self) -> Sequence[WorkerStatus]:
        """The workers that live now."""
        return [WorkerStatus.FromString(data) async for _, data in _listing(self._connection, streams.WORKERS)]


async def _listing(connection: Connection, bucket: str) -> AsyncIterator[tuple[str, bytes]]:
    """Subject and newest value of every key."""
    # one message a key; not asked for by `multi_last`, which the server refuses above 1,024 keys
    async for message in connection.stored(streams.board_stream(bucket), streams.board_subject(bucket, ">")):
        headers = message.headers or {}
        if _DELETED not in headers:
            yield headers["Nats-Subject"], message.data
