"""Real servers for tests: started on free ports in a temporary folder, stopped and swept afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from framewire.stack.ports import PortChooser
from framewire.storage.s3 import S3Settings

READY_WITHIN = 30.0


def free_port() -> int:
    """A port of the loopback interface that nobody listens on, and that no outgoing connection will take."""
    return PortChooser().choose(None)


def program(name: str) -> str:
    """A program of this environment or of the system."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise FileNotFoundError(f"{name} is not installed: run `make venv-test`")
    return found


@contextlib.contextmanager
def running(
    argv: list[str], *, ready: Callable[[], bool], log: Path, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs inside the block; its log is in the error when it does not get ready."""
    with log.open("ab") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output, start_new_session=True, **options)  # type: ignore[call-overload]  # options are passed through
    try:
        wait_until(lambda: process.poll() is not None or ready(), f"{argv[0]} to get ready; see {log}")
        if process.poll() is not None:
            raise RuntimeError(f"{argv[0]} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], *, within: float = 10.0) -> None:
    """End a process and everything it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(within)
    with contextlib.suppress(ProcessLookupError):  # itself, or what it started and did not take along
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(within)


def wait_until(condition: Callable[[], bool], what: str, *, within: float = READY_WITHIN) -> None:
    """Look until it is so; the only way here to wait for a program that gives no sign."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {within} s for {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody accepts connections on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class NatsServer:
    """A real nats-server with JetStream. `kill` and `start` keep its port and its data."""

    folder: Path
    port: int
    _running: contextlib.ExitStack
    options: Sequence[str] = ()
    """More of its command line, from the next `start` on."""
    within: Callable[[list[str]], list[str]] = list
    """From its command line to the one that runs it somewhere else."""

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [program("nats-server"), "-js", "-sd", str(self.folder), "-a", "127.0.0.1", "-p", str(self.port)]
        self._process = self._running.enter_context(
            running(
                self.within([*argv, *self.options]),
                ready=lambda: listens(self.port),
                log=self.folder.parent / f"nats-{self.port}.log",
            )
        )

    def reload(self) -> None:
        """Read its configuration file again."""
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


@contextlib.contextmanager
def start_nats(
    folder: Path, *, options: Sequence[str] = (), within: Callable[[list[str]], list[str]] = list
) -> Iterator[NatsServer]:
    with contextlib.ExitStack() as stack:
        server = NatsServer(folder, free_port(), stack, options, within)
        server.start()
        yield server


@dataclass(frozen=True)
class S3Server:
    """A real S3 endpoint over a folder."""

    endpoint: str
    access_key: str
    secret_key: str

    def settings(self, bucket: str) -> S3Settings:
        return S3Settings(endpoint=self.endpoint, bucket=bucket, access_key=self.access_key, secret_key=self.secret_key)


@contextlib.contextmanager
def start_s3(folder: Path) -> Iterator[S3Server]:
    port, access, secret = free_port(), f"key{secrets.token_hex(8)}", secrets.token_hex(16)
    objects = folder / "objects"
    objects.mkdir()
    argv = [
        program("rclone"), "serve", "s3", str(objects), "--addr", f"127.0.0.1:{port}",
        "--auth-key", f"{access},{secret}",
        "--vfs-cache-mode", "full", "--cache-dir", str(folder / "cache"), "--config", str(folder / "rclone.conf"),
    ]  # fmt: skip
    with running(argv, ready=lambda: listens(port), log=folder / "s3.log"):
        yield S3Server(f"http://127.0.0.1:{port}", access, secret)


@dataclass(frozen=True)
class PostgresServer:
    """A real PostgreSQL; `url` names its default database, in which tests make databases of their own."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://framewire@{self.host}:{self.port}/postgres"


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's programs: on PATH, or where Debian keeps them."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


@contextlib.contextmanager
def start_postgres(folder: Path, programs: Path) -> Iterator[PostgresServer]:
    port, data = free_port(), folder / "data"
    options = _as_unprivileged_user(folder)
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", "framewire", "-A", "trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(initdb, check=True, capture_output=True, **options)  # type: ignore[call-overload]  # passed through
    argv = [
        str(programs / "postgres"), "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1",
        "-c", f"unix_socket_directories={folder}", "-c", "fsync=off", "-c", "max_connections=50",
    ]  # fmt: skip
    asked = [
        str(programs / "pg_isready"),
        "-q",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
    ]  # it listens before it takes queries

    def takes_queries() -> bool:
        return subprocess.run(asked, check=False, timeout=10).returncode == 0

    with running(argv, ready=takes_queries, log=folder / "postgres.log", **options):
        yield PostgresServer("127.0.0.1", port)


def _as_unprivileged_user(folder: Path) -> dict[str, object]:
    """PostgreSQL refuses to run as root: run it as somebody else who may write to `folder`."""
    if os.geteuid() != 0:
        return {"cwd": folder}
    user = next(pwd.getpwnam(name) for name in ("postgres", "nobody") if _exists(name))
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": folder}


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
