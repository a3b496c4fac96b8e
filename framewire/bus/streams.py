"""The names of streams, subjects, consumers and buckets, and how they are set up. No other file knows them.

JOBS    jobs.<lane>.<priority>.<job id>.<attempts>
                                          work queue; one message per subject, so that an order that is queued
                                          or held cannot be queued again, however late a repeat comes; a retry
                                          by hand raises the attempts and is another order
EVENTS  events.<job id>                   the log; republished to live.events.<job id> once stored, with the
                                          number of the event and of the one before it: watchers of the live
                                          subject see every gap and fill it from the log
DEAD    dead.<job id>                     orders that will not be done, with the reason; the newest per job
        $JS.EVENT.ADVISORY...             what the servers themselves say of orders that nobody gets any more
KV      CANCELLATIONS, WORKERS            boards: jobs to be cancelled, workers that live
        CONTROLS lane.<lane>, worker.<name>   paused lanes, draining workers; the value is the name
                model.<name>              what is wished of a model, as JSON
        BACKLOG <lane>                    how many jobs the gateway holds back
        MODELS <server>                   a model server's models and who uses them, as a ModelBook
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    DiscardPolicy,
    KeyValueConfig,
    RePublish,
    RetentionPolicy,
    StreamConfig,
)
from nats.js.errors import APIError, BadRequestError

from framewire.bus.interface import PRIORITIES
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU, Lane
from framewire.work.v1.work_pb2 import JobOrder

JOBS = "JOBS"
EVENTS = "EVENTS"
DEAD = "DEAD"
CANCELLATIONS = "CANCELLATIONS"
WORKERS = "WORKERS"
CONTROLS = "CONTROLS"
BACKLOG = "BACKLOG"
MODELS = "MODELS"

LANES: dict[Lane.ValueType, str] = {LANE_GPU: "gpu", LANE_CPU: "cpu"}

ACK_WAIT = 4.0
"""Seconds after which a job whose worker has gone silent is handed to another."""
EVENTS_AGE = 8 * 86_400.0
"""Seconds events are kept: a day longer than results are."""
DEAD_AGE = 30 * 86_400.0
WORKER_AGE = 10.0
"""Seconds a worker's announcement holds."""

ADVISORIES = "$JS.EVENT.ADVISORY.CONSUMER"
ADVISORY_KINDS = ("MAX_DELIVERIES", "MSG_TERMINATED")
"""An order was handed out too often, or somebody ended it by hand: neither is Framewire's doing."""

PULL_GROUP = "workers"
"""The priority group of all pulls: one that names a least number of pending jobs is served only while so many wait."""

_MOST_HELD = 10_000
_STREAM_EXISTS = 10058
_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How the streams are kept by the servers."""

    replicas: int = 1
    """Copies of each stream; 3 on a cluster that must survive the loss of a server."""


def job_subject(order: JobOrder) -> str:
    """Where an order is published."""
    return f"jobs.{LANES[order.lane]}.{order.priority}.{order.job_id}.{order.max_attempts}"


def priority_subject(lane: Lane.ValueType, priority: int) -> str:
    """All orders of a lane and a priority."""
    return f"jobs.{LANES[lane]}.{priority}.>"


def job_id_of(subject: str) -> str:
    """The job id in an order's subject."""
    return subject.split(".")[3]


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
    """Where an order ends that will not be done."""
    return f"dead.{job_id}"


def board_subject(bucket: str, key: str) -> str:
    """Where the value of a key is stored."""
    return f"$KV.{bucket}.{key}"


def board_stream(bucket: str) -> str:
    """The stream behind a bucket."""
    return f"KV_{bucket}"


def board_key(name: str) -> str:
    """A name as a key: what subjects do not allow is escaped, so that two names never share a key."""
    return re.sub(rb"[^A-Za-z0-9_-]", lambda found: b"=%02X" % found[0][0], name.encode()).decode()


def consumer_name(lane: Lane.ValueType, priority: int) -> str:
    """The consumer that hands out one lane's jobs of one priority."""
    return f"{LANES[lane]}-{priority}"


async def ensure_streams(client: Client, settings: StreamSettings) -> None:
    """Create what is missing and bring what exists to these settings. Safe to run in many processes at once."""
    js = client.jetstream(timeout=_TIMEOUT)
    for config in _streams(settings):
        try:
            await js.add_stream(config)
        except BadRequestError as error:
            if error.err_code != _STREAM_EXISTS:
                raise
            await js.update_stream(await _not_fewer_replicas(js, config))
    for lane in LANES:
        for priority in PRIORITIES:
            await _ensure_job_consumer(client, lane, priority)
    for board in _boards(settings):
        await _ensure_board(js, board)


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
            allow_direct=True,
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
        StreamConfig(
            name=DEAD,
            subjects=["dead.*", *(f"{ADVISORIES}.{kind}.{JOBS}.*" for kind in ADVISORY_KINDS)],
            max_age=DEAD_AGE,
            allow_direct=True,
            num_replicas=settings.replicas,
        ),
    ]


def _boards(settings: StreamSettings) -> list[KeyValueConfig]:
    replicas = settings.replicas
    return [
        KeyValueConfig(bucket=CANCELLATIONS, ttl=EVENTS_AGE, replicas=replicas, direct=True),
        # on disk, small and short-lived as it is: a server forgets even that there was a stream kept in memory
        KeyValueConfig(bucket=WORKERS, ttl=WORKER_AGE, replicas=replicas, direct=True),
        KeyValueConfig(bucket=CONTROLS, replicas=replicas, direct=True),
        KeyValueConfig(bucket=BACKLOG, replicas=replicas, direct=True),
        KeyValueConfig(bucket=MODELS, replicas=replicas, direct=True),
    ]


async def _ensure_job_consumer(client: Client, lane: Lane.ValueType, priority: int) -> None:
    """By hand: the client library has no words for priority groups. Raises the library's own APIError."""
    name = consumer_name(lane, priority)
    config = {
        "name": name,
        "durable_name": name,
        "filter_subject": priority_subject(lane, priority),
        "ack_policy": "explicit",
        "ack_wait": int(ACK_WAIT * 1e9),
        "max_ack_pending": _MOST_HELD,
        "max_deliver": -1,  # attempts are counted in the event log, where an interruption can be told from a failure
        "priority_groups": [PULL_GROUP],
        "priority_policy": "overflow",
    }
    request = json.dumps({"stream_name": JOBS, "config": config}).encode()
    answer = await client.request(f"$JS.API.CONSUMER.CREATE.{JOBS}.{name}", request, timeout=_TIMEOUT)
    if error := json.loads(answer.data).get("error"):
        raise APIError.from_error(error)


async def _ensure_board(js: JetStreamContext, config: KeyValueConfig) -> None:
    try:
        await js.create_key_value(config)
    except APIError as error:
        if error.err_code != _STREAM_EXISTS:
            raise
