"""What came of all files, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hostile.drive import Outcome

MEMORY_LIMIT = 512 << 20
"""Private memory a runner may have."""


def violations(outcomes: Sequence[Outcome], sprung: Sequence[str]) -> list[str]:
    """What must never happen and did; one line each."""
    dead = [f"{o.case.group}: {o.case.name}: {o.result}: {o.message}" for o in outcomes if not o.typed]
    ours = [f"{o.case.group}: {o.case.name}: {o.result}: {o.message}" for o in outcomes if o.result == "INTERNAL"]
    fat = [
        f"{o.case.group}: {o.case.name}: {o.private >> 20} MB private memory"
        for o in outcomes
        if o.private > MEMORY_LIMIT
    ]
    return [*dead, *ours, *fat, *(f"somebody went where a file pointed: {what}" for what in sprung)]


def table(outcomes: Sequence[Outcome], sprung: Sequence[str]) -> str:
    """A row per group of files and outcome, then the extremes and the violations."""
    counts = Counter((o.case.group, o.result if o.typed else f"DIED ({o.result})") for o in outcomes)
    rows = [f"{group:<12} {result:<28} {count:>6}" for (group, result), count in sorted(counts.items())]
    fattest = sorted(outcomes, key=lambda o: -o.private)[:5]
    slowest = sorted(outcomes, key=lambda o: -o.seconds)[:3]
    found = violations(outcomes, sprung)
    return "\n".join(
        [
            f"{'files':<12} {'outcome':<28} {'count':>6}",
            *rows,
            "",
            f"{len(outcomes)} files; most private memory of a runner:",
            *(f"  {o.private >> 20:>5} MB  {o.resident >> 20:>5} MB with shared  {o.case.name}" for o in fattest),
            "longest:",
            *(f"  {o.seconds:>5.1f} s  {o.case.name}" for o in slowest),
            "",
            f"violations: {len(found)}",
            *(f"  {line}" for line in found),
        ]
    )
