"""The gateway, put together from a database, a bus and an object store. The only file that knows all parts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from framewire.bus.interface import Bus
from framewire.db.assets import AssetStore
from framewire.db.database import Database
from framewire.db.expiring import ExpiryStore
from framewire.db.jobs import JobStore
from framewire.db.migrate import upgrade
from framewire.db.outbox import IN_STORE, ON_BUS, Outbox
from framewire.db.repair import RepairStore
from framewire.db.uploads import UploadStore
from framewire.db.waiting import QueueView
from gateway import reconciler, release
from gateway.addresses import Address
from gateway.background import Background
from gateway.dead import DeadLetterOffice
from gateway.estimate import Estimator
from gateway.estimates import Estimates, EstimateSettings
from gateway.fleet import Fleet
from gateway.handlers import intake_handlers, stream_handlers, unary_handlers
from gateway.handlers.assets import AssetHandlers
from gateway.handlers.estimates import EstimateHandlers
from gateway.handlers.jobs import JobHandlers
from gateway.handlers.operations import OperationsHandlers
from gateway.handlers.playlist import PlaylistHandlers
from gateway.handlers.steps import StepHandlers
from gateway.handlers.uploads import UploadHandlers, UploadParts
from gateway.janitor import Janitor
from gateway.limits import Gate, LimitSettings
from gateway.models import LiveModels
from gateway.pipeline import Pipeline
from gateway.playlists import Playlists
from gateway.readiness import Readiness
from gateway.reconciler import Reconciler
from gateway.recorder import KEYS, Recorder
from gateway.relay import Relay
from gateway.release import Releaser
from gateway.rest.server import RestServer
from gateway.rest.settings import HttpSettings
from gateway.rest.tus import Tus
from gateway.rpc.server import RpcServer
from gateway.uploads import SigningStore, UploadChecker, UploadSettings
from gateway.uploads.creator import UploadCreator
from gateway.uploads.deletions import DELETIONS
from gateway.uploads.finish import Finisher
from gateway.uploads.probe import ProbeProgram
from gateway.uploads.writer import UploadWriter
from gateway.watch import Watcher

GRACE = 5.0
"""Seconds that calls may still run once the gateway stops."""
log = logging.getLogger(__name__)


class Gateway:
    """start, then stop. What it is given stays its giver's: close it after `stop`."""

    def __init__(
        self,
        *,
        database: Database,
        bus: Bus,
        store: SigningStore,
        grpc: Address,
        rest: Address,
        limits: LimitSettings | None = None,
        http: HttpSettings | None = None,
        uploads: UploadSettings | None = None,
        estimates: EstimateSettings | None = None,
    ) -> None:
        self._stopping = asyncio.Event()
        self._database = database
        http, settings = http or HttpSettings(), uploads or UploadSettings()
        parts = _Parts.of(database, bus, store, settings)
        self._recorder = Recorder(parts.jobs, bus.events)
        self._background = (
            *_relays(parts),
            Background("recorder", self._recorder.round),
            *_rounds(parts),
        )
        self._estimates = Estimates(store, estimates or EstimateSettings())
        pipeline = _pipeline(parts, self._estimates, Gate(limits or LimitSettings()), self._stopping)
        checks = {"database": database.ping, "bus": bus.ping, "store": lambda: store.head("readyz")}
        readiness, tus = Readiness(checks, self._stopping), Tus(pipeline, parts.uploads, parts.assets)
        self.rpc = RpcServer(pipeline, str(grpc), largest_request=http.largest_body)
        self.rest = RestServer(pipeline, readiness, rest, grace=GRACE, settings=http, tus=tus)

    async def start(self) -> None:
        """Migrate the database, begin the background work, serve. Stops again what it started when one part fails."""
        try:
            await upgrade(self._database)
            self._database.outbox_filled.set()  # a gateway that died may have left something
            for work in self._background:
                await work.start()
            await self.rpc.start()
            await self.rest.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End streams so that clients come back elsewhere, let calls finish within GRACE, stop the rest. Idempotent."""
        self._stopping.set()
        await asyncio.gather(self.rpc.stop(GRACE), self.rest.stop())
        await self._estimates.stop()
        for work in self._background:
            await work.stop()
        await self._recorder.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the rest is made of."""

    database: Database
    bus: Bus
    store: SigningStore
    fleet: Fleet
    jobs: JobStore
    assets: AssetStore
    uploads: UploadParts

    @classmethod
    def of(cls, database: Database, bus: Bus, store: SigningStore, settings: UploadSettings) -> _Parts:
        fleet = Fleet(bus.workers, bus.controls)
        assets = AssetStore(database, fleet.window, DELETIONS)
        return cls(
            database=database,
            bus=bus,
            store=store,
            fleet=fleet,
            jobs=JobStore(database, fleet.window),
            assets=assets,
            uploads=_upload_parts(database, assets, store, settings),
        )


def _relays(parts: _Parts) -> Iterator[Background]:
    """What sends the outbox. Apart: a store that is away must not hold up jobs, and nobody waits for a deletion."""
    outbox, filled = Outbox(parts.database), parts.database.outbox_filled
    yield Background("relay", Relay(outbox, filled, parts.bus, parts.store, kinds=ON_BUS).round)
    yield Background("sweeper", Relay(outbox, asyncio.Event(), parts.bus, parts.store, kinds=IN_STORE, poll=1.0).round)


def _rounds(parts: _Parts) -> Iterator[Background]:
    """What looks at things from time to time."""
    yield Background("releaser", Releaser(parts.jobs, parts.bus.jobs, parts.fleet).round, every=release.EVERY)
    repair = Reconciler(RepairStore(parts.database), parts.jobs, parts.assets, parts.bus)
    yield Background("reconciler", repair.round, every=reconciler.EVERY)
    expiry, settings = ExpiryStore(parts.database, DELETIONS, KEYS), parts.uploads.settings
    janitor = Janitor(expiry, parts.store, parts.uploads.checker, settings)
    yield Background("janitor", janitor.round, every=settings.janitor_every)


def _pipeline(parts: _Parts, estimates: Estimates, gate: Gate, stopping: asyncio.Event) -> Pipeline:
    """What answers calls, whichever wire they come on."""
    bus, fleet = parts.bus, parts.fleet
    queue = QueueView(parts.database, fleet.window)
    job_handlers = _job_handlers(parts.jobs, parts.assets, bus, fleet, queue, stopping)
    upload_handlers = UploadHandlers(parts.uploads)
    return Pipeline(
        unary=unary_handlers(
            AssetHandlers(parts.assets, parts.store),
            upload_handlers,
            job_handlers,
            EstimateHandlers(parts.assets, LiveModels(fleet), estimates),
            PlaylistHandlers(parts.jobs, Playlists(bus.events, parts.store)),
            StepHandlers(LiveModels(fleet)),
            OperationsHandlers(fleet, bus.controls, queue, DeadLetterOffice(bus.dead_letters, parts.jobs)),
        ),
        streams=stream_handlers(job_handlers),
        intakes=intake_handlers(upload_handlers),
        gate=gate,
    )


def _job_handlers(
    jobs: JobStore, assets: AssetStore, bus: Bus, fleet: Fleet, queue: QueueView, stopping: asyncio.Event
) -> JobHandlers:
    watcher = Watcher(jobs, assets, bus.events, stopping)
    return JobHandlers(jobs, assets, LiveModels(fleet), watcher, Estimator(queue, fleet))


def _upload_parts(database: Database, assets: AssetStore, store: SigningStore, settings: UploadSettings) -> UploadParts:
    uploads = UploadStore(database)
    checker = UploadChecker(store, settings, ProbeProgram(settings) if settings.probe else None)
    return UploadParts(
        settings=settings,
        store=store,
        uploads=uploads,
        creator=UploadCreator(assets, store, settings),
        writer=UploadWriter(uploads, store, settings),
        checker=checker,
        finisher=Finisher(assets, uploads, store, checker, settings.keep),
    )
