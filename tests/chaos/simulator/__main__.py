"""`python -m chaos.simulator [--seed N] [--schedules N]`: many seeded schedules, or one with its trace."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from chaos.simulator import queueing
from chaos.simulator.invariants import INVARIANTS
from chaos.simulator.schedule import FAULTS, Outcome, play, simulation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--schedules", type=int, default=20_000, help="how many (20000)")
    parser.add_argument("--replay", action="store_true", help="only the one seed, with every step")
    options = parser.parse_args()
    if options.replay:
        return replay(options.seed)
    begun = time.process_time()
    outcomes = many(options.seed, options.schedules)
    print(table(outcomes, seconds=time.process_time() - begun))
    print(queueing.report())
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def many(first: int, count: int, *, mutation: str = "") -> list[Outcome]:
    """Play `count` schedules."""
    with simulation():
        return [play(seed, mutation=mutation) for seed in range(first, first + count)]


def replay(seed: int) -> int:
    with simulation():
        outcome = play(seed, trace=True)
    print(*outcome.trace, sep="\n")
    for invariant, wrong in outcome.violations:
        print(f"VIOLATED  {invariant}: {wrong}")
    return 1 if outcome.violations else 0


def table(outcomes: list[Outcome], *, seconds: float) -> str:
    """Faults by invariants: how many violations the schedules had in which the fault struck."""
    lines = [f"{'fault':<20}{'struck':>8}" + "".join(f"{name:>14}" for name in INVARIANTS)]
    for fault in FAULTS:
        struck = [outcome for outcome in outcomes if outcome.faults[fault]]
        found = Counter(name for outcome in struck for name, _ in outcome.violations)
        times = sum(outcome.faults[fault] for outcome in struck)
        lines.append(f"{fault:<20}{times:>8}" + "".join(f"{found[name]:>14}" for name in INVARIANTS))
    lines.append(
        f"{len(outcomes)} schedules in {seconds:.1f} s of one core: {len(outcomes) / seconds * 60:.0f} a minute"
    )
    broken = [outcome for outcome in outcomes if outcome.violations][:10]
    lines += [f"VIOLATED with seed {outcome.seed}: {outcome.violations[0]}" for outcome in broken]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
