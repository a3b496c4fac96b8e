"""`python -m chaos --seed N --rounds N`: faults on real servers, then on the simulator; 1 when an invariant broke."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # servers, triton_server and this folder

from chaos.drill import Drill, Round
from chaos.simulator.__main__ import many
from chaos.simulator.__main__ import table as simulated
from chaos.site import running_site
from chaos.table import table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=67, help="of three faults each (67: 200 faults)")
    parser.add_argument("--round", type=int, help="only this one: what a violation names")
    parser.add_argument("--schedules", type=int, default=10_000, help="of the simulator; 0 for none")
    parser.add_argument("--folder", type=Path, help="where to keep data and logs (a temporary one, removed)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    numbers = [options.round] if options.round is not None else list(range(options.rounds))
    broken = False
    if numbers:
        rounds, faults = asyncio.run(_kept(options.folder, options.seed, numbers))
        print(table(rounds, faults, seed=options.seed))
        broken = any(played.violations for played in rounds)
    if options.schedules:
        begun = time.process_time()
        outcomes = many(options.seed, options.schedules)
        print("\n" + simulated(outcomes, seconds=time.process_time() - begun))
        broken = broken or any(outcome.violations for outcome in outcomes)
    return int(broken)


async def _kept(folder: Path | None, seed: int, numbers: list[int]) -> tuple[list[Round], list[str]]:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return await drill(folder, seed, numbers)
    with tempfile.TemporaryDirectory(prefix="framewire-chaos-") as temporary:
        return await drill(Path(temporary), seed, numbers)


async def drill(folder: Path, seed: int, numbers: list[int]) -> tuple[list[Round], list[str]]:
    """Play rounds on one installation in `folder`."""
    async with running_site(folder) as site:
        drill = Drill(site, seed)
        await drill.prepare()
        rounds = []
        for number in numbers:
            rounds.append(await drill.play(number))
            _say(rounds[-1])
        return rounds, drill.faults


def _say(played: Round) -> None:
    told = ", ".join(f"{strike.fault} {strike.recovery:.1f} s" for strike in played.strikes)
    print(f"round {played.number}: {told}{'  VIOLATED' if played.violations else ''}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
