"""Cancellations, workers and controls: small boards kept in JetStream's key-value buckets."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Sequence

import nats.errors
from nats.aio.subscription import Subscription
from nats.js.errors import APIError

from framewire.bus import streams
from framewire.bus.connection import Connection, unavailable_as_typed
from framewire.bus.interface import ControlState, ModelWish
from framewire.errors import ErrorCode, Unavailable
from framewire.v1.step_pb2 import Lane
from framewire.work.v1.work_pb2 import WorkerStatus

log = logging.getLogger(__name__)

_LOOK_AGAIN = 5.0
_DELETED = "KV-Operation"
_LANE, _WORKER, _MODEL = "lane", "worker", "model"
_LOOK_AT_CONTROLS = 1.0
"""Seconds between looks at the controls, should the word of a change get lost with a connection."""


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

    async def withdraw(self, job_id: str) -> None:
        """Forget that somebody asked."""
        subject = streams.board_subject(streams.CANCELLATIONS, job_id)
        with unavailable_as_typed():
            await self._connection.js.purge_stream(streams.board_stream(streams.CANCELLATIONS), subject=subject)

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


class NatsControls:
    """A key per paused lane, draining worker and wish about a model; the value says which, the key is escaped."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def pause(self, lane: Lane.ValueType) -> None:
        """No more jobs of this lane."""
        await self._set(_LANE, streams.LANES[lane])

    async def resume(self, lane: Lane.ValueType) -> None:
        """Jobs of this lane again."""
        await self._unset(_LANE, streams.LANES[lane])

    async def paused(self) -> frozenset[Lane.ValueType]:
        """Paused lanes."""
        return (await self._state()).paused

    async def drain(self, worker: str) -> None:
        """No more jobs for this worker."""
        await self._set(_WORKER, worker)

    async def undrain(self, worker: str) -> None:
        """Jobs for this worker again."""
        await self._unset(_WORKER, worker)

    async def draining(self) -> frozenset[str]:
        """Draining workers."""
        return (await self._state()).draining

    async def pin(self, model: str) -> None:
        """A model shall stay loaded."""
        await self._wish(model, pinned=True)

    async def unpin(self, model: str) -> None:
        """A model need not stay."""
        await self._wish(model, pinned=False)

    async def watch(self) -> AsyncIterator[ControlState]:
        """The state now and after each change; looked up every second besides: words get lost."""
        with unavailable_as_typed():
            live = await self._connection.client.subscribe(streams.board_subject(streams.CONTROLS, ">"))
        try:
            while True:
                if state := await self._state_if_known():
                    yield state
                await _hear(live, within=_LOOK_AT_CONTROLS)
        finally:
            with contextlib.suppress(nats.errors.Error):
                await live.unsubscribe()

    async def _state_if_known(self) -> ControlState | None:
        """None while the servers are away: what was wanted last holds until they are back."""
        try:
            return await self._state()
        except Unavailable as error:
            log.debug("controls are not known: %s", error.message)
            return None

    async def _state(self) -> ControlState:
        lanes, workers, models = set[Lane.ValueType](), set[str](), set[ModelWish]()
        async for subject, value in _listing(self._connection, streams.CONTROLS):
            kind, text = subject.rsplit(".", 2)[1], value.decode()
            if kind == _LANE:
                lanes.update(lane for lane, known in streams.LANES.items() if known == text)
            elif kind == _WORKER:
                workers.add(text)
            elif kind == _MODEL:
                models.add(ModelWish(**json.loads(text)))
        return ControlState(paused=frozenset(lanes), draining=frozenset(workers), models=frozenset(models))

    async def _wish(self, model: str, *, pinned: bool) -> None:
        wish = {"model": model, "pinned": pinned, "request": secrets.token_hex(8)}
        with unavailable_as_typed():
            await self._connection.js.publish(_control(_MODEL, model), json.dumps(wish).encode())

    async def _set(self, kind: str, name: str) -> None:
        with unavailable_as_typed():
            await self._connection.js.publish(_control(kind, name), name.encode())

    async def _unset(self, kind: str, name: str) -> None:
        with unavailable_as_typed():
            await self._connection.js.publish(_control(kind, name), b"", headers={_DELETED: "DEL"})


def _control(kind: str, name: str) -> str:
    return streams.board_subject(streams.CONTROLS, f"{kind}.{streams.board_key(name)}")


async def _hear(live: Subscription, *, within: float) -> None:
    """Wait for a message or until the time is up. Raises Unavailable when the connection was closed for good."""
    try:
        await live.next_msg(timeout=within)
    except nats.errors.TimeoutError:
        return
    except nats.errors.Error as error:
        raise Unavailable(f"NATS connection closed: {error}", code=ErrorCode.BUS_UNAVAILABLE) from error


async def _listing(connection: Connection, bucket: str) -> AsyncIterator[tuple[str, bytes]]:
    """Subject and newest value of every key."""
    # one message a key; not asked for by `multi_last`, which the server refuses above 1,024 keys
    async for message in connection.stored(streams.board_stream(bucket), streams.board_subject(bucket, ">")):
        headers = message.headers or {}
        if _DELETED not in headers:
            yield headers["Nats-Subject"], message.data
