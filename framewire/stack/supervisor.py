"""A set of children: started in the order they need each other, stopped in the order they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from framewire.stack.child import Child, ChildContext
from framewire.stack.guard import Guard, GuardSettings
from framewire.stack.guardian import MARKER
from framewire.stack.logfiles import rotate
from framewire.stack.pulse import Vigil
from framewire.stack.spec import Backoff, ChildSpec


class Supervisor:
    """Runs children until it is stopped. Nothing of them outlives it, whatever ends it: see guardian.py."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        guard: GuardSettings,
        *,
        environment: Mapping[str, str],
        changed: Callable[[Child], None] = lambda child: None,
        start_timeout: float = 90.0,
        backoff: Backoff | None = None,
        vigil: Vigil | None = None,
    ) -> None:
        self._guard = Guard(guard)
        context = ChildContext(
            environment={**environment, MARKER: guard.marker},
            started=self._guard.add,
            gone=self._guard.remove,
            changed=changed,
            start_timeout=start_timeout,
            vigil=vigil or Vigil(),
        )
        context = context if backoff is None else replace(context, backoff=backoff)
        self._children = {spec.name: Child(spec, context) for spec in specs}
        self._ready = {spec.name: asyncio.Event() for spec in specs}

    @property
    def children(self) -> Sequence[Child]:
        """All of them, in the order they were given."""
        return tuple(self._children.values())

    @property
    def guardian_pid(self) -> int | None:
        """The guardian's process id."""
        return self._guard.pid

    def child(self, name: str) -> Child:
        """One by name."""
        return self._children[name]

    async def start(self) -> None:
        """Start all and wait until all are ready. When one fails, stop the others and raise its LocalError."""
        await self._guard.start()
        try:
            async with asyncio.TaskGroup() as group:
                for child in self.children:
                    group.create_task(self._start_child(child))
        except BaseExceptionGroup as failures:
            await self.stop()
            raise failures.exceptions[0] from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self, *, hurry: bool = False) -> None:
        """Stop all, one stop order after the other, each within its bound. Idempotent."""
        ordered = sorted(self.children, key=lambda child: child.spec.stop_order)
        for _, together in groupby(ordered, key=lambda child: child.spec.stop_order):
            await asyncio.gather(*(child.stop(hurry=hurry) for child in together))
        await self._guard.stop()

    async def _start_child(self, child: Child) -> None:
        for name in child.spec.needs:
            await self._ready[name].wait()
        await asyncio.to_thread(rotate, child.spec.log)
        await child.start()
        self._ready[child.spec.name].set()
