"""A local stack from start to stop.

async with LocalStack(StackSettings(data=folder, environment=os.environ)) as stack:
    client = await Client.connect(stack.state.grpc)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from framewire.errors import ErrorCode, LocalError
from framewire.stack import guardian
from framewire.stack.child import Child
from framewire.stack.folder import DataFolder, ServiceState, StackState
from framewire.stack.guard import GRACE, GuardSettings
from framewire.stack.ports import HOST
from framewire.stack.servers import Ports, server_specs
from framewire.stack.settings import StackSettings
from framewire.stack.spec import Phase
from framewire.stack.supervisor import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """What exists between start and stop."""

    lock: int
    ports: Ports
    supervisor: Supervisor


class LocalStack:
    """NATS, object store, Triton, gateway and one coordinator in a data folder.

    `start` returns when all are ready and raises LocalError when that is not to be: STACK_ALREADY_RUNNING,
    TOOL_MISSING, CONFIG_INVALID (a port that was asked for is taken) or STACK_START_FAILED. The data stays
    for the next time. Whatever ends this process, no process, no shared memory and no state file stays.
    """

    def __init__(self, settings: StackSettings, *, changed: Callable[[Child], None] = lambda child: None) -> None:
        self._settings = settings
        self._changed = changed
        self._running: _Running | None = None
        self._ready = False
        self.folder = DataFolder(settings.data)

    async def __aenter__(self) -> LocalStack:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def state(self) -> StackState:
        """Addresses and servers, now. Raises LocalError (STACK_NOT_RUNNING) before start and after stop."""
        running = self._running
        if running is None:
            raise LocalError("the local stack is not running", code=ErrorCode.STACK_NOT_RUNNING)
        return StackState(
            pid=os.getpid(),
            ready=self._ready,
            grpc=f"{HOST}:{running.ports.grpc}",
            rest=f"http://{HOST}:{running.ports.rest}",
            services=tuple(_service(child) for child in running.supervisor.children),
        )

    async def start(self) -> None:
        """Start everything and wait until everything is ready."""
        await asyncio.to_thread(self.folder.create)
        lock = await self.folder.lock()
        try:
            # a guardian that was killed with its supervisor could not do its work: do it now
            await asyncio.to_thread(guardian.reclaim, self.folder.marker, (), self.folder.shm_prefix, grace=GRACE)
            self._running = await asyncio.to_thread(self._prepare, lock)
            self._write_state()
            await self._running.supervisor.start()
        except BaseException:
            await self._release(lock)
            raise
        self._ready = True
        self._write_state()

    async def stop(self, *, hurry: bool = False) -> None:
        """Stop everything, in order and within bounds. Idempotent. With `hurry`: at once."""
        if self._running:
            await self._running.supervisor.stop(hurry=hurry)
            await self._release(self._running.lock)

    def _prepare(self, lock: int) -> _Running:
        ports = Ports.choose(self._settings)
        specs = server_specs(self._settings, self.folder, self.folder.keys(), ports)
        guard = GuardSettings(
            marker=self.folder.marker,
            shm_prefix=self.folder.shm_prefix,
            state_file=self.folder.state_file,
            log=self.folder.logs / "guardian.log",
            lock=lock,
        )
        supervisor = Supervisor(
            specs,
            guard,
            environment=child_environment(self._settings.environment),
            changed=self._on_change,
            start_timeout=self._settings.start_timeout,
        )
        return _Running(lock=lock, ports=ports, supervisor=supervisor)

    async def _release(self, lock: int) -> None:
        self._running, self._ready = None, False
        self.folder.state_file.unlink(missing_ok=True)
        os.close(lock)

    def _on_change(self, child: Child) -> None:
        if child.phase is not Phase.STOPPED:
            with contextlib.suppress(OSError):  # a full disk must not end the supervision
                self._write_state()
        self._changed(child)

    def _write_state(self) -> None:
        if self._running:
            self.folder.write_state(self.state)


def child_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What children inherit: everything but Framewire's own settings and proxies, for they talk to 127.0.0.1 only."""
    return {
        name: value
        for name, value in inherited.items()
        if not name.startswith(("FRAMEWIRE_", "RCLONE_")) and not name.lower().endswith("_proxy")
    }


def _service(child: Child) -> ServiceState:
    return ServiceState(
        name=child.spec.name,
        pid=child.pid,
        address=child.spec.address,
        log=str(child.spec.log),
        phase=child.phase.value,
        restarts=child.restarts,
        note=child.note,
    )
