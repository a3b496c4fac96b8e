"""The data folder of a stack: what lies where, its keys, its lock, and the file that says what runs."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from framewire.errors import ErrorCode, LocalError

_LOCK_PAUSE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class StackKeys:
    """Secrets of one data folder. They open nothing but servers on this machine's loopback."""

    s3_access_key: str
    s3_secret_key: str
    nats_password: str
    triton_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """One server of a stack, for people and programs."""

    name: str
    pid: int | None
    address: str
    log: str
    phase: str
    restarts: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StackState:
    """A running stack, as stack.json tells it."""

    pid: int
    """The supervisor."""
    ready: bool
    """All servers have been ready once; the addresses hold from then on."""
    grpc: str
    """`host:port` of the gateway's gRPC endpoint."""
    rest: str
    """`http://host:port` of the gateway's REST endpoint."""
    services: tuple[ServiceState, ...] = ()


class DataFolder:
    """Paths below one folder, which is readable by its owner alone."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        self.logs = self.root / "logs"
        self.nats = self.root / "nats"
        self.objects = self.root / "objects"
        self.scratch = self.root / "scratch"
        self.triton = self.root / "triton"
        self.models = self.root / "models"
        self.cache = self.root / "cache"
        self.database = self.root / "framewire.db"
        self.state_file = self.root / "stack.json"
        self.lock_file = self.root / "stack.lock"
        self.keys_file = self.root / "keys.json"

    @property
    def marker(self) -> str:
        """What marks the processes of this folder's stack; the same each time it runs."""
        return hashlib.sha256(f"{os.getuid()}:{self.root}".encode()).hexdigest()[:12]

    @property
    def shm_prefix(self) -> str:
        """What the names of this stack's shared-memory files start with."""
        return f"framewire_{self.marker}_"

    def create(self) -> None:
        """Make the folders. Raises LocalError (FILE_UNWRITABLE)."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (self.logs, self.nats, self.objects, self.scratch, self.triton, self.models, self.cache):
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise LocalError(
                f"cannot use {self.root} as data folder: {error.strerror}", code=ErrorCode.FILE_UNWRITABLE
            ) from None

    def keys(self) -> StackKeys:
        """The folder's keys, made on first use; the file is readable by its owner alone."""
        with contextlib.suppress(FileNotFoundError):
            return StackKeys(**json.loads(self.keys_file.read_text()))
        keys = StackKeys(**{field.name: secrets.token_hex(20) for field in fields(StackKeys)})
        write_private(self.keys_file, json.dumps(asdict(keys), indent=2))
        return keys

    def write_state(self, state: StackState) -> None:
        """Say what runs. Readers see the old file or the new one, never half of one."""
        write_private(self.state_file, json.dumps(asdict(state), indent=2))

    def read_state(self) -> StackState | None:
        """What the state file says, alive or not; None when there is none."""
        try:
            values = json.loads(self.state_file.read_text())
            services = tuple(ServiceState(**service) for service in values.pop("services"))
            return StackState(**values, services=services)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def running(self) -> StackState | None:
        """The stack that runs in this folder now; None when there is none."""
        state = self.read_state()
        return state if state and _alive(state.pid) and self.locked() else None

    async def lock(self, *, wait: float = 20.0) -> int:
        """Take the folder for one stack: a descriptor that holds the lock until its last copy is closed.

        Raises LocalError (STACK_ALREADY_RUNNING) at once when a stack runs; waits up to `wait` seconds
        when the lock is held by the guardian of one that is gone.
        """
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait
        try:
            while not _try_lock(descriptor):
                state = self.read_state()
                if (state and _alive(state.pid)) or time.monotonic() > deadline:
                    raise LocalError(
                        f"a stack runs in {self.root} already" + (f" (process {state.pid})" if state else ""),
                        code=ErrorCode.STACK_ALREADY_RUNNING,
                    )
                await asyncio.sleep(_LOCK_PAUSE)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def locked(self) -> bool:
        """Whether anything of a stack is left here: its supervisor, or the guardian that tidies up after it."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return not _try_lock(descriptor)
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: int) -> bool:
    """Whether the process runs; a dead one that its parent has not looked at yet does not."""
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    return False


def write_private(path: Path, text: str) -> None:
    """Replace a file's content in one step; only its owner can read it, from the first moment."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
