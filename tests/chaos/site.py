"""A whole installation of real programs, each of which may be killed and comes back on the same port with its data."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from chaos.proxy import FaultProxy
from servers import free_port, listens, program
from triton_server import BUILT_IN_MODELS, serves

from framewire.bus import streams
from framewire.bus.nats import NatsBus, NatsSettings
from framewire.client import Client
from framewire.stack import triton
from framewire.storage.s3 import S3ObjectStore, S3Settings

TESTS = Path(__file__).resolve().parent.parent
WORKERS = ("w1", "w2")
BOUND = 60.0


@dataclass
class Server:
    """A program of the installation."""

    name: str
    argv: list[str]
    env: dict[str, str]
    ready: Callable[[], bool]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Start it, again when it ends because another is away, as a supervisor does, and wait until it is ready."""
        async with asyncio.timeout(BOUND):
            while True:
                with self.log.open("ab") as log:
                    self.process = process = subprocess.Popen(  # noqa: ASYNC220 - a fork, and signals from anywhere
                        self.argv, env={**os.environ, **self.env}, stdout=log, stderr=log, start_new_session=True
                    )
                await until(lambda: process.poll() is not None or self.ready(), self.name)  # noqa: B023 - awaited here
                if process.poll() is None:
                    return
                await asyncio.sleep(0.25)

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


async def until(condition: Callable[[], bool], what: str, *, within: float = BOUND) -> None:
    """Look until it is so: a program of another process gives no sign."""
    async with asyncio.timeout(within):
        while True:
            if await asyncio.to_thread(condition):
                return
            await asyncio.sleep(0.02)


class Site:
    """All servers, two workers, the proxies before NATS and the object store, and a client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: dict[str, Server] = {}
        self.shm_prefix = f"framewire_chaos_{secrets.token_hex(4)}_"
        self._keys = f"key{secrets.token_hex(8)}", secrets.token_hex(16)
        self._ports = {name: free_port() for name in ("nats", "s3", "triton", "grpc", "rest")}
        self.nats = FaultProxy(self._ports["nats"])
        self.s3 = FaultProxy(self._ports["s3"])

    async def start(self) -> None:
        """Everything, in order."""
        await self.nats.start()
        await self.s3.start()
        for server in (self._nats_server(), self._s3_server(), self._triton_server()):
            self.servers[server.name] = server
        await asyncio.gather(*(server.start() for server in self.servers.values()))
        for server in (self._gateway(), *map(self._worker, WORKERS)):
            self.servers[server.name] = server
            await server.start()
        # the driver's own eyes look past the proxies
        self.bus = await NatsBus.connect(NatsSettings(url=f"nats://127.0.0.1:{self._ports['nats']}"))
        self.store = S3ObjectStore(self._store_settings(self._ports["s3"]))
        self.client = Client(f"127.0.0.1:{self._ports['grpc']}")

    async def stop(self) -> None:
        """Everything, whatever state it is in."""
        for name in ("client", "store", "bus"):
            if part := getattr(self, name, None):
                with contextlib.suppress(Exception):  # servers may be dead already
                    await part.close()
        for server in reversed(self.servers.values()):
            if server.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(server.process.pid, signal.SIGKILL)
                server.process.wait(10)
        await self.nats.stop()
        await self.s3.stop()
        triton.sweep_shared_memory(self.shm_prefix)

    def runners(self, worker: str) -> list[int]:
        """Processes a worker has started."""
        children = Path(f"/proc/{self.servers[worker].pid}/task/{self.servers[worker].pid}/children")
        with contextlib.suppress(OSError):
            return [int(pid) for pid in children.read_text().split()]
        return []

    async def leftovers(self) -> list[str]:
        """What jobs that are not running have left: files in scratch folders, orders in the queue."""
        left = [str(path) for path in (self.folder / "scratch").glob("worker-*/job_*")]
        orders = (await self.bus._connection.js.stream_info(streams.JOBS)).state.messages
        return [*left, f"{orders} orders in the queue"] if orders else left

    def _nats_server(self) -> Server:
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self._ports["nats"]}"\n'
            f'jetstream {{ store_dir: "{self.folder / "nats"}", sync_interval: always }}\n'
        )
        return self._server("nats", [program("nats-server"), "-c", str(config)], {}, self._listens("nats"))

    def _s3_server(self) -> Server:
        objects = self.folder / "objects"
        objects.mkdir()
        argv = [
            program("rclone"), "serve", "s3", str(objects), "--addr", f"127.0.0.1:{self._ports['s3']}",
            "--auth-key", ",".join(self._keys), "--vfs-cache-mode", "full", "--vfs-write-back", "0s",
            "--cache-dir", str(self.folder / "cache"), "--config", str(self.folder / "rclone.conf"),
        ]  # fmt: skip
        return self._server("s3", argv, {}, self._listens("s3"))

    def _triton_server(self) -> Server:
        server = triton.find_tritonserver()
        argv, env = triton.command(
            server,
            models=BUILT_IN_MODELS,
            backends=triton.prepare_backends(server, self.folder / "backends"),
            port=self._ports["triton"],
            key="chaos",
            shm_prefix=self.shm_prefix,
            path=os.environ.get("PATH", os.defpath),
        )
        return self._server("triton", argv, env, lambda: serves(f"127.0.0.1:{self._ports['triton']}"))

    def _gateway(self) -> Server:
        env = {
            **self._environment(),
            "FRAMEWIRE_DATABASE_URL": f"sqlite+aiosqlite:///{self.folder / 'framewire.db'}",
            "FRAMEWIRE_GRPC_ADDRESS": f"127.0.0.1:{self._ports['grpc']}",
            "FRAMEWIRE_REST_ADDRESS": f"127.0.0.1:{self._ports['rest']}",
            "FRAMEWIRE_UPLOAD_KINDS": "*",  # the inputs are what runners are to do, in words
        }
        return self._server("gateway", [sys.executable, "-m", "gateway"], env, self._listens("grpc"))

    def _worker(self, name: str) -> Server:
        env = {
            **self._environment(),
            "FRAMEWIRE_WORKER": name,
            "FRAMEWIRE_TRITON_URL": f"127.0.0.1:{self._ports['triton']}",
            "FRAMEWIRE_TRITON_KEY": "chaos",
            "FRAMEWIRE_SCRATCH": str(self.folder / "scratch"),
        }
        argv = [sys.executable, str(TESTS / "chaos" / "paced_worker.py")]
        log = self.folder / f"{name}.log"
        return self._server(name, argv, env, lambda: log.exists() and "takes" in log.read_text())

    def _environment(self) -> dict[str, str]:
        settings = self._store_settings(self.s3.port)
        return {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH")])),
            "FRAMEWIRE_NATS_URL": f"nats://127.0.0.1:{self.nats.port}",
            "FRAMEWIRE_S3_ENDPOINT": settings.endpoint,
            "FRAMEWIRE_S3_BUCKET": settings.bucket,
            "FRAMEWIRE_S3_ACCESS_KEY": settings.access_key,
            "FRAMEWIRE_S3_SECRET_KEY": settings.secret_key,
        }

    def _store_settings(self, port: int) -> S3Settings:
        access, secret = self._keys
        return S3Settings(endpoint=f"http://127.0.0.1:{port}", bucket="framewire", access_key=access, secret_key=secret)

    def _server(self, name: str, argv: list[str], env: dict[str, str], ready: Callable[[], bool]) -> Server:
        return Server(name, argv, env, ready, self.folder / f"{name}.log")

    def _listens(self, name: str) -> Callable[[], bool]:
        return lambda: listens(self._ports[name])


@contextlib.asynccontextmanager
async def running_site(folder: Path) -> AsyncIterator[Site]:
    """A site inside the block, and nothing of it afterwards."""
    site = Site(folder)
    try:
        await site.start()
        yield site
    finally:
        await site.stop()
