"""`python -m gateway`: settings from the environment, real servers, drain on SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Mapping

import uvloop

from framewire import logs
from framewire.bus.nats import NatsBus, NatsSettings
from framewire.db.database import Database
from framewire.environment import Environment
from framewire.errors import ErrorCode, FramewireError, Unavailable
from framewire.lifecycle import first_of, notify_ready, settle_memory, show_life, stop_event
from framewire.storage.s3 import S3ObjectStore
from framewire.storage.s3_lifecycle import Lifecycle
from gateway.addresses import Address
from gateway.app import Gateway
from gateway.settings import VARIABLES, GatewaySettings

_DRAIN = 15.0
"""Seconds from the signal to the end, whatever hangs."""
log = logging.getLogger("gateway")


def main() -> int:
    """0 after a signal, 1 when something it needs does not answer, 2 when a setting is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway",
        description="Framewire's gateway: gRPC and REST in front of the database, NATS and the object store.",
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    try:
        uvloop.run(_run(os.environ))
    except FramewireError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        return 2 if error.code == ErrorCode.CONFIG_INVALID else 1
    return 0


async def _run(variables: Mapping[str, str]) -> None:
    stop = stop_event()
    show_life(variables)
    env = Environment(variables)
    settings = GatewaySettings.from_environment(env)
    logs.configure(
        "gateway", style=env.text("FRAMEWIRE_LOG_STYLE", "text"), level=env.text("FRAMEWIRE_LOG_LEVEL", "INFO")
    )
    async with contextlib.AsyncExitStack() as stack:
        gateway, bus = await _open(settings, stack)
        await gateway.start()
        stack.push_async_callback(_bounded_stop, gateway)
        settle_memory()
        addresses = _addresses(settings, gateway)
        log.info("serving gRPC on %s and REST on %s", addresses["grpc"], addresses["rest"])
        notify_ready(variables, **addresses)
        await first_of(stop, bus.lost)
        log.info("stopping")
        if bus.lost.is_set():
            raise Unavailable("NATS refuses this gateway; look at its credentials", code=ErrorCode.BUS_UNAVAILABLE)


async def _open(settings: GatewaySettings, stack: contextlib.AsyncExitStack) -> tuple[Gateway, NatsBus]:
    database = Database.open(settings.database_url)
    stack.push_async_callback(database.close)
    bus = await NatsBus.connect(NatsSettings(url=settings.nats_url, name="gateway"))
    stack.push_async_callback(bus.close)
    store = S3ObjectStore(settings.store)
    stack.push_async_callback(store.close)
    await store.ensure_bucket()
    if settings.lifecycle is not None:
        await _set_lifecycle(store, settings.lifecycle)
    gateway = Gateway(
        database=database,
        bus=bus,
        store=store,
        grpc=settings.grpc,
        rest=settings.rest,
        limits=settings.limits,
        http=settings.http,
        uploads=settings.uploads,
        estimates=settings.estimates,
    )
    return gateway, bus


async def _set_lifecycle(store: S3ObjectStore, lifecycle: Lifecycle) -> None:
    """A store without rules is no reason not to start: the janitor does what has to be done."""
    try:
        await store.set_lifecycle(lifecycle)
    except FramewireError as error:
        log.warning("the bucket has no lifecycle rules: %s", error.message)


async def _bounded_stop(gateway: Gateway) -> None:
    try:
        async with asyncio.timeout(_DRAIN):
            await gateway.stop()
    except TimeoutError:
        log.error("still not stopped after %.0f s; leaving all the same", _DRAIN)


def _addresses(settings: GatewaySettings, gateway: Gateway) -> dict[str, str]:
    return {
        "grpc": str(Address(settings.grpc.host, gateway.rpc.port)),
        "rest": str(Address(settings.rest.host, gateway.rest.port)),
    }


if __name__ == "__main__":
    sys.exit(main())
