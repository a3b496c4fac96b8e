"""What a drill found, as a table: faults by invariants, and how long each was felt."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from chaos.drill import INVARIANTS, Round, Strike


def table(rounds: Sequence[Round], faults: Sequence[str], *, seed: int) -> str:
    """A line a fault: how often it struck, violations of the rounds it was in, recovery of the jobs that ran."""
    strikes = [strike for played in rounds for strike in played.strikes]
    lines = [
        f"{'fault':<24}{'struck':>7}" + "".join(f"{name:>14}" for name in INVARIANTS) + "   recovery p50   p95   max"
    ]
    for fault in faults:
        found = Counter(
            name
            for played in rounds
            if any(strike.fault == fault for strike in played.strikes)
            for name, _ in played.violations
        )
        mine = [strike for strike in strikes if strike.fault == fault]
        counts = "".join(f"{found[name]:>14}" for name in INVARIANTS)
        lines.append(f"{fault:<24}{len(mine):>7}{counts}   {_times(mine)}")
    found = Counter(name for played in rounds for name, _ in played.violations)
    lines.append(
        f"{'all':<24}{len(strikes):>7}" + "".join(f"{found[name]:>14}" for name in INVARIANTS) + f"   {_times(strikes)}"
    )
    exhausted, orphans = sum(played.failed for played in rounds), sum(played.orphans for played in rounds)
    lines.append(f"{len(rounds)} rounds of seed {seed}: {len(strikes)} faults, {sum(p.jobs for p in rounds)} jobs")
    lines.append(f"{exhausted} jobs were hit more often than they had attempts, and say so")
    lines.append(f"{orphans} objects of attempts that died are left in the store; no row names them")
    lines += [
        f"VIOLATED in round {played.number} ({', '.join(strike.fault for strike in played.strikes)}): {name}: {wrong}"
        for played in rounds
        for name, wrong in played.violations
    ]
    return "\n".join(lines)


def p95(strikes: Sequence[Strike]) -> float:
    """Of the strikes that found a running job."""
    times = sorted(strike.recovery for strike in strikes if strike.affected)
    return times[min(len(times) - 1, int(len(times) * 0.95))] if times else 0.0


def _times(strikes: Sequence[Strike]) -> str:
    times = [strike.recovery for strike in strikes if strike.affected]
    if not times:
        return f"{'-':>12}"
    return (
        f"{statistics.median(times):>10.1f} s {p95(strikes):>5.1f} {max(times):>5.1f}  ({len(times)} while a job ran)"
    )
