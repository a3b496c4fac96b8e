"""`python -m coordinator`: a worker. The one place where its parts are chosen and the environment is read."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from coordinator.inference.control import TritonControl
from coordinator.inference.meter import MemoryMeter, NvidiaGpus
from coordinator.inference.triton import TritonServer, TritonSettings
from coordinator.sandbox import Mode, layers
from coordinator.settings import RunnerSettings, WorkerSettings, runner_environment, sandbox_mode, worker_settings
from coordinator.worker import Worker
from framewire.bus.nats import NatsBus, NatsSettings
from framewire.environment import Environment
from framewire.errors import FramewireError, LocalError
from framewire.jobs.ranking import AGEING_SECONDS
from framewire.lifecycle import READY_FD, first_of, notify_ready, show_life, stop_event
from framewire.logs import configure
from framewire.storage.s3 import S3ObjectStore, S3Settings
from framewire.v1.step_pb2 import Lane

log = logging.getLogger("coordinator")

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
STOP_LIMIT: Final = 10.0
"""Seconds from the word to stop until the process is gone."""

LOG_STYLES: Final = ("text", "json")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

VARIABLES: Final = {
    "FRAMEWIRE_NATS_URL": "address of NATS, several separated by commas (nats://127.0.0.1:4222)",
    "FRAMEWIRE_S3_ENDPOINT": "address of the object store; empty for Amazon's own",
    "FRAMEWIRE_S3_BUCKET": "its bucket (framewire)",
    "FRAMEWIRE_S3_REGION": "its region (us-east-1)",
    "FRAMEWIRE_S3_ACCESS_KEY": "its access key; required",
    "FRAMEWIRE_S3_SECRET_KEY": "its secret key; required",
    "FRAMEWIRE_TRITON_URL": "host:port of Triton's gRPC endpoint (127.0.0.1:8001)",
    "FRAMEWIRE_TRITON_KEY": "value of the header that opens Triton's restricted protocols (none)",
    "FRAMEWIRE_TRITON_SHARED_MEMORY": "hand frames over in shared memory: Triton is on this host (yes)",
    "FRAMEWIRE_MODEL_MEMORY": "what models may hold together, 4G for one; 0 for no limit (what GPU or memory allow)",
    "FRAMEWIRE_WORKER": "this worker's name, unique among all (host name and process id)",
    "FRAMEWIRE_LANES": "kinds of jobs to take: gpu, cpu or both (gpu,cpu)",
    "FRAMEWIRE_PRIORITIES": "priorities to take, 0 is the highest (0,1,2,3)",
    "FRAMEWIRE_OVERFLOW_AFTER": "take a job only while more than this many wait in its lane (whenever a slot is free)",
    "FRAMEWIRE_AGEING": "seconds of waiting that make up for one step of priority, the same for every worker (60)",
    "FRAMEWIRE_SLOTS": "jobs to run at once (3)",
    "FRAMEWIRE_SCRATCH": "folder for files of running jobs (framewire-scratch in the system's temporary folder)",
    "FRAMEWIRE_SANDBOX": "require, prefer or off: whether jobs run only confined in every way there is (prefer)",
    "FRAMEWIRE_LOG_STYLE": "text or json (text)",
    "FRAMEWIRE_LOG_LEVEL": "DEBUG, INFO, WARNING or ERROR (INFO)",
    "FRAMEWIRE_READY_FD": "descriptor that gets one line of JSON when the worker is ready (none)",
    "FRAMEWIRE_ALIVE_FD": "descriptor that gets a byte a second while the worker's event loop turns (none)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything this process can be told."""

    worker: WorkerSettings
    runner: RunnerSettings
    nats: NatsSettings
    store: S3Settings
    triton: TritonSettings
    sandbox: Mode


def main(argv: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a worker until it is told to stop. Returns the process's exit code."""
    variables = with_options(variables, _parser().parse_args(argv))
    try:
        _configure_logs(Environment(variables))
        settings = read_settings(variables)
    except FramewireError as error:
        return _complain(error, EXIT_USAGE)
    try:
        _keep_from_runners(variables)
        _show_sandbox(settings.sandbox)
        return _run(settings, variables)
    except FramewireError as error:
        return _complain(error, EXIT_FAILED)
    except OSError as error:
        return _complain(error, EXIT_FAILED)


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Raises LocalError (CONFIG_INVALID) naming the variable that is missing or makes no sense."""
    env = Environment(variables)
    worker = worker_settings(env, pid=os.getpid())
    return Settings(
        worker=worker,
        runner=RunnerSettings(environment=runner_environment(variables)),
        nats=NatsSettings(
            url=env.text("FRAMEWIRE_NATS_URL", "nats://127.0.0.1:4222"),
            name=f"coordinator {worker.name}",
            ageing=env.integer("FRAMEWIRE_AGEING", int(AGEING_SECONDS), least=1),
        ),
        store=S3Settings(
            endpoint=env.text("FRAMEWIRE_S3_ENDPOINT", ""),
            bucket=env.text("FRAMEWIRE_S3_BUCKET", "framewire"),
            region=env.text("FRAMEWIRE_S3_REGION", "us-east-1"),
            access_key=env.text("FRAMEWIRE_S3_ACCESS_KEY"),
            secret_key=env.text("FRAMEWIRE_S3_SECRET_KEY"),
        ),
        triton=TritonSettings(
            url=worker.inference.url,
            key=worker.inference.key,
            shared_memory=worker.inference.shared_memory,
        ),
        sandbox=sandbox_mode(env),
    )


def with_options(variables: Mapping[str, str], options: argparse.Namespace) -> Mapping[str, str]:
    """The variables with what the command line says of them."""
    if options.overflow_after is None:
        return variables
    return {**variables, "FRAMEWIRE_OVERFLOW_AFTER": options.overflow_after}


def _keep_from_runners(variables: Mapping[str, str]) -> None:
    """Whoever reads this descriptor waits for it to be closed, so no child may hold it."""
    if descriptor := variables.get(READY_FD):
        os.set_inheritable(int(descriptor), False)


def _show_sandbox(mode: Mode) -> None:
    """Say how runners are confined. Raises LocalError (CONFIG_INVALID) when less is here than required."""
    if mode is Mode.OFF:
        log.warning("runners are not confined (FRAMEWIRE_SANDBOX=off): open no strangers' files")
        return
    missing = [layer for layer in layers() if not layer.here]
    if missing and mode is Mode.REQUIRE:
        raise LocalError(f"FRAMEWIRE_SANDBOX=require: {'; '.join(layer.words for layer in missing)}")
    for layer in layers():
        log.log(logging.INFO if layer.here else logging.WARNING, "sandbox, %s: %s", layer.name, layer.words)


def _run(settings: Settings, variables: Mapping[str, str]) -> int:
    # Not uvloop: it starts processes with fork(), in which gRPC's handlers can lock up parent and child for good.
    # asyncio's own loop uses vfork(), which runs no such handlers.
    return asyncio.run(_serve(settings, variables))


async def _serve(settings: Settings, variables: Mapping[str, str]) -> int:
    stop = stop_event()
    show_life(variables)
    bus = await NatsBus.connect(settings.nats)
    store = S3ObjectStore(settings.store)
    triton = TritonServer(settings.triton)
    meter = MemoryMeter(url=settings.triton.url, gpus=NvidiaGpus())
    worker = Worker(settings.worker, settings.runner, bus=bus, store=store, models=TritonControl(triton, meter))
    try:
        await worker.start()
        _announce_ready(settings.worker, variables)
        await first_of(stop, worker.broken, bus.lost)
    finally:
        _leave_at_once_when_told_again()
        _leave_in_any_case()
        await worker.stop()
        triton.close()
        await store.close()
        await bus.close()
    return EXIT_FAILED if worker.broken.is_set() or bus.lost.is_set() else 0


def _announce_ready(settings: WorkerSettings, variables: Mapping[str, str]) -> None:
    lanes = [Lane.Name(lane).removeprefix("LANE_").lower() for lane in settings.lanes]
    log.info("worker %s takes %s jobs, %d at once", settings.name, " and ".join(lanes), settings.slots)
    notify_ready(variables, worker=settings.name, lanes=lanes, slots=settings.slots)


def _leave_at_once_when_told_again() -> None:
    """From now on SIGTERM and SIGINT end the process there and then; runners die with it."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _leave, number)


def _leave_in_any_case() -> None:
    """Whatever hangs, a transfer in a thread for one: the queue and the next worker's sweep see to the rest."""
    timer = threading.Timer(STOP_LIMIT, os._exit, (EXIT_FAILED,))
    timer.daemon = True
    timer.start()


def _leave(number: int) -> NoReturn:
    os._exit(128 + number)


def _configure_logs(env: Environment) -> None:
    style, level = env.text("FRAMEWIRE_LOG_STYLE", "text"), env.text("FRAMEWIRE_LOG_LEVEL", "INFO").upper()
    if style not in LOG_STYLES:
        raise LocalError(f"FRAMEWIRE_LOG_STYLE must be {' or '.join(LOG_STYLES)}, not {style!r}")
    if level not in LOG_LEVELS:
        raise LocalError(f"FRAMEWIRE_LOG_LEVEL must be {', '.join(LOG_LEVELS[:-1])} or {LOG_LEVELS[-1]}, not {level!r}")
    configure("coordinator", style=style, level=level)


def _complain(error: Exception, code: int) -> int:
    sys.stderr.write(f"coordinator: {error}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, VARIABLES))
    parser = argparse.ArgumentParser(
        prog="python -m coordinator",
        description="A worker: takes jobs from NATS and runs them with the models Triton serves, until SIGTERM.",
        epilog="environment variables:\n" + "\n".join(f"  {name:<{width}}  {text}" for name, text in VARIABLES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--overflow-after",
        metavar="N",
        help="take a job only while more than N wait in its lane, as a rented worker does (FRAMEWIRE_OVERFLOW_AFTER)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
