"""Whether the gateway can do its work: each thing it depends on, asked with a bound."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from framewire.errors import FramewireError

_BOUND = 3.0  # seconds for one dependency
log = logging.getLogger(__name__)

Check = Callable[[], Awaitable[object]]


class Readiness:
    """Named checks. A check passes when it returns."""

    def __init__(self, checks: Mapping[str, Check], stopping: asyncio.Event) -> None:
        self._checks = checks
        self._stopping = stopping

    async def report(self) -> dict[str, str]:
        """Dependency -> `ok` or the code of what is wrong with it; `gateway` is `stopping` once it stops."""
        states = await asyncio.gather(*(_state(name, check) for name, check in self._checks.items()))
        gateway = "stopping" if self._stopping.is_set() else "ok"
        return {"gateway": gateway, **dict(zip(self._checks, states, strict=True))}


async def _state(name: str, check: Check) -> str:
    try:
        async with asyncio.timeout(_BOUND):
            await check()
    except FramewireError as error:
        return error.code
    except TimeoutError:
        return "DEADLINE_EXCEEDED"
    except Exception:
        log.exception("check of %s failed unexpectedly", name)
        return "INTERNAL"
    return "ok"
