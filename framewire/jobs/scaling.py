"""When to rent workers and when to give them back: pure, so that it can be tried on any course of a day."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What to do now."""

    NOTHING = "nothing"
    START = "start"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is seen of a lane at one moment."""

    now: float
    """Seconds on any clock that does not jump."""
    waiting: int
    """Jobs that wait."""
    rented: int
    """Rented workers that live."""
    running: int
    """Jobs they run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRules:
    """When to act."""

    above: int
    """Workers are rented when more than this many jobs wait."""
    idle: float
    """Seconds without anything to do for rented workers after which they are given back."""
    boot: float
    """Seconds rented workers may take to appear; then they are taken for lost."""


class Scaling:
    """Remembers whether workers are rented. `decide` proposes, `done` is told what succeeded."""

    def __init__(self, rules: ScalingRules) -> None:
        self._rules = rules
        self._started_at: float | None = None
        self._quiet_since: float | None = None

    def decide(self, sight: Sight) -> Action:
        """What to do now."""
        if sight.rented and self._started_at is None:
            self._started_at = sight.now  # rented by somebody else, or before this process began
        needed = sight.waiting > self._rules.above
        if needed or sight.running or self._quiet_since is None:
            self._quiet_since = None if needed or sight.running else sight.now
        if self._started_at is None:
            return Action.START if needed else Action.NOTHING
        if needed and not sight.rented and sight.now - self._started_at >= self._rules.boot:
            return Action.START
        if self._quiet_since is not None and sight.now - self._quiet_since >= self._rules.idle:
            return Action.STOP
        if sight.rented:
            self._started_at = sight.now  # from when on they may be missed
        return Action.NOTHING

    def done(self, action: Action, *, now: float) -> None:
        """What was proposed has succeeded; an action that failed is proposed again."""
        self._started_at = now if action is Action.START else None
        self._quiet_since = None
