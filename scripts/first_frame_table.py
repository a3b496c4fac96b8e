"""The starts of jobs as people read them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

GOAL = 100.0
UNDISTURBED = 100.0
"""Milliseconds for which threads may have had no processor, all together, for a job to say how fast the work is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One job on its way to the first frame."""

    milliseconds: float
    """In all."""
    stages: Mapping[str, float]
    """Milliseconds of each, in order; each is named for what it ends with."""
    warm: bool
    """A runner was ready for it."""
    delays: Mapping[str, float]
    """Milliseconds for which threads of the stack had no processor, by process."""


def summary(starts: Sequence[Start]) -> dict[str, float]:
    """The numbers of the jobs whose runner was ready."""
    warm = sorted(start.milliseconds for start in starts if start.warm)
    shares = {"median_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "most_ms": 1.0}
    found = {name: quantile(warm, share) for name, share in shares.items()} if warm else {}
    return {"jobs": len(warm), "cold": len(starts) - len(warm), **found}


def undisturbed(starts: Sequence[Start]) -> list[Start]:
    """Those that other programs left the processors to."""
    return [start for start in starts if sum(start.delays.values()) < UNDISTURBED]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest number that at least `share` of them do not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def words_of(starts: Sequence[Start], *, slowest: int) -> str:
    """Everything, as lines."""
    warm = [start for start in starts if start.warm]
    return "\n".join([*_totals(starts), "", *_stages(warm), "", *_slowest(warm, slowest)])


def _totals(starts: Sequence[Start]) -> Iterator[str]:
    yield f"queued to first decoded frame, {_percentiles(starts)} (goal: p99 <= {GOAL:g})"
    yield f"of them those that waited less than {UNDISTURBED:g} ms for a processor, {_percentiles(undisturbed(starts))}"
    for start in starts:
        if not start.warm:
            yield f"its runner was not ready: {start.milliseconds:.0f} ms"


def _percentiles(starts: Sequence[Start]) -> str:
    found = summary(starts)
    if not found["jobs"]:
        return "no jobs"
    return (
        f"{found['jobs']} jobs: median {found['median_ms']:.0f} ms, p95 {found['p95_ms']:.0f}, "
        f"p99 {found['p99_ms']:.0f}, most {found['most_ms']:.0f}"
    )


def _stages(starts: Sequence[Start]) -> Iterator[str]:
    yield f"{'until':<24}{'median':>8}{'p95':>8}{'most':>8}  ms"
    for name in _names(starts):
        times = sorted(start.stages.get(name, 0.0) for start in starts)
        yield f"{name:<24}{statistics.median(times):8.1f}{quantile(times, 0.95):8.1f}{times[-1]:8.1f}"


def _slowest(starts: Sequence[Start], count: int) -> Iterator[str]:
    usual = {name: statistics.median(start.stages.get(name, 0.0) for start in starts) for name in _names(starts)}
    for start in sorted(starts, key=lambda each: -each.milliseconds)[:count]:
        over = sorted(((start.stages.get(name, 0.0) - usual[name], name) for name in usual), reverse=True)
        slow = ", ".join(f"{name} +{more:.0f}" for more, name in over[:4] if more >= 1)
        waited = ", ".join(f"{role} {ms:.0f}" for role, ms in sorted(start.delays.items(), key=lambda each: -each[1]))
        yield f"{start.milliseconds:.0f} ms: {slow or 'no stage slower than usual'}; no processor: {waited or 'never'}"


def _names(starts: Sequence[Start]) -> list[str]:
    """Of all stages, in the order of most jobs."""
    return list(dict.fromkeys(name for start in starts for name in start.stages))
