"""What a supervised child is, as data."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from framewire.stack.probes import Probe


class Phase(enum.StrEnum):
    """How far a child is."""

    WAITING = "waiting"  # For the children it needs.
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"  # It died and is started again after a while.
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How one child is started, known to be ready, and stopped."""

    name: str
    argv: Sequence[str]
    log: Path
    """Takes its stdout and stderr."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to what all children get."""
    address: str = ""
    """Where it listens, for people; empty when it does not."""
    probe: Probe | None = None
    """Tells when it is ready, and later whether it is alive; None: it says so itself through FRAMEWIRE_READY_FD."""
    heartbeat: bool = False
    """Its event loop shows that it turns through FRAMEWIRE_ALIVE_FD; without, and without a probe, nobody looks."""
    needs: Sequence[str] = ()
    """Names of children that must be ready before it starts."""
    on_ready: Callable[[int], object] | None = None
    """Called with its process id each time it is ready."""
    stop_order: int = 0
    """Children with lower numbers are stopped first."""
    stop_timeout: float = 10.0
    """Seconds from TERM to KILL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before starting what died: doubled each time, forgotten after a good while."""

    first: float = 0.5
    most: float = 30.0
    forget_after: float = 60.0
    """Seconds of life after which the next death counts as the first."""

    def delay(self, deaths: int) -> float:
        """Seconds to wait after the `deaths`-th death in a row."""
        return float(min(self.most, self.first * 2 ** (min(deaths, 32) - 1)))
