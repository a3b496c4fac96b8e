"""The names of streams, subjects, consumers and buckets, and how they are set up. No other file knows them.

JOBS    jobs.<lane>.<priority>.<job id>   work queue; one message per job and subject, so that a job that is
                                          queued or held cannot be queued again, however late a repeat comes
EVENTS  events.<job id>                   the log; republished to live.events.<job id> once stored, with the
                                          number of the event and of the one before it: watchers of the live
                                          subject see every gap and fill it from the log
DEAD    dead.<job id>                     orders that will never be done, with the reason
KV      CANCELLATIONS, WORKERS            boards
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    KeyValueConfig,
    RePublish,
    RetentionPolicy,
    StreamConfig,
)
from nats.js.errors import APIError, BadRequestError

from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU, Lane

JOBS = "JOBS"
EVENTS = "EVENTS"
DEAD = "DEAD"
CANCELLATIONS = "CANCELLATIONS"
WORKERS = "WORKERS"

PRIORITIES = (0, 1, 2, 3)
LANES: dict[Lane.ValueType, str] = {LANE_GPU: "gpu", LANE_CPU: "cpu"}

ACK_WAIT = 10.0
"""Seconds after which a job whose worker has gone silent is handed to another."""
EVENTS_AGE = 8 * 86_400.0
"""Seconds events are kept: a day longer than results are."""
DEAD_AGE = 30 * 86_400.0
WORKER_AGE = 10.0
"""Seconds a worker's announcement holds."""

_STREAM_EXISTS = 10058


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How the streams are kept by the servers."""

    replicas: int = 1
    """Copies of each stream; 3 on a cluster that must survive the loss of a server."""


def job_subject(lane: Lane.ValueType, priority: int, job_id: str) -> str:
    """Where an order is published."""
    return f"jobs.{LANES[lane]}.{priority}.{job_id}"


def lane_subject(lane: Lane.ValueType) -> str:
    """All orders of a lane."""
    return f"jobs.{LANES[lane]}.>"


def event_subject(job_id: str) -> str:
    """Where a job's events are stored."""
    return f"events.{job_id}"


def live_subject(job_id: str) -> str:
    """Where a job's events appear once they are stored."""
    return f"live.events.{job_id}"


def dead_subject(job_id: str) -> str:
    """Where an order ends that will never be done."""
    return f"dead.{job_id}"


def board_subject(bucket: str, key: str) -> str:
    """Where the value of a key is stored."""
    return f"$KV.{bucket}.{key}"


def board_stream(bucket: str) -> str:
    """The stream behind a bucket."""
    return f"KV_{bucket}"


def board_key(name: str) -> str:
    """A name as a key: what subjects do not allow becomes `-`."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)


def consumer_name(lane: Lane.ValueType, priority: int) -> str:
    """The consumer that hands out one lane's jobs of one priority."""
    return f"{LANES[lane]}-{priority}"


async def ensure_streams(js: JetStreamContext, settings: StreamSettings) -> None:
    """Create what is missing and bring what exists to these settings. Safe to run in many processes at once."""
    for config in _streams(settings):
        try:
            await js.add_stream(config)
        except BadRequestError as error:
            if error.err_code != _STREAM_EXISTS:
                raise
            await js.update_stream(await _not_fewer_replicas(js, config))
    for lane in LANES:
        for priority in PRIORITIES:
            await js.add_consumer(JOBS, _job_consumer(lane, priority))
    await _ensure_board(
        js, KeyValueConfig(bucket=CANCELLATIONS, ttl=EVENTS_AGE, replicas=settings.replicas, direct=True)
    )
    await _ensure_board(
        js,
        # on disk, small and short-lived as it is: a server forgets even that there was a stream kept in memory
        KeyValueConfig(bucket=WORKERS, ttl=WORKER_AGE, replicas=settings.replicas, direct=True),
    )


async def _not_fewer_replicas(js: JetStreamContext, config: StreamConfig) -> StreamConfig:
    """What an operator raised stays raised: a process that knows of one server must not take the other copies away."""
    there = (await js.stream_info(str(config.name))).config.num_replicas or 1
    return config.evolve(num_replicas=max(there, config.num_replicas or 1))


def _streams(settings: StreamSettings) -> list[StreamConfig]:
    return [
        StreamConfig(
            name=JOBS,
            subjects=["jobs.>"],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.NEW,
            discard_new_per_subject=True,
            max_msgs_per_subject=1,
            num_replicas=settings.replicas,
        ),
        StreamConfig(
            name=EVENTS,
            subjects=["events.*"],
            max_age=EVENTS_AGE,
            allow_direct=True,
            republish=RePublish(src="events.*", dest="live.events.{{wildcard(1)}}"),
            num_replicas=settings.replicas,
        ),
        StreamConfig(name=DEAD, subjects=["dead.*"], max_age=DEAD_AGE, num_replicas=settings.replicas),
    ]


def _job_consumer(lane: Lane.ValueType, priority: int) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=consumer_name(lane, priority),
        filter_subject=f"jobs.{LANES[lane]}.{priority}.>",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT,
        max_deliver=-1,  # attempts are counted in the event log, where an interruption can be told from a failure
    )


async def _ensure_board(js: JetStreamContext, config: KeyValueConfig) -> None:
    try:
        await js.create_key_value(config)
    except APIError as error:
        if error.err_code != _STREAM_EXISTS:
            raise
