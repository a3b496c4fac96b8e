"""How much memory it takes to cut films of hours: `python scripts/cut_hours.py [HOURS ...]`, 1 and 8 by default.

A film of half a minute, small pictures with sound that pauses, is repeated packet for packet until it is as long; each
row is a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sample_pauses import draw_pauses, repeat_film

HERE = Path(__file__).resolve().parent


def run(name: str, film: Path) -> dict[str, float]:
    """Of one loop of scripts/cut_loops.py."""
    command = [sys.executable, str(HERE / "cut_loops.py"), name, str(film), str(film.with_suffix(".cut.mp4")), "[]"]
    told: dict[str, float] = json.loads(subprocess.check_output(command).splitlines()[-1])
    return told


def main() -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False)
    for heading in ("hours", "pictures kept", "detect s", "peak MB", "detect and cut s", "peak MB"):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory(prefix="framewire-hours-") as folder:
        short = draw_pauses(Path(folder) / "short.mp4", seconds=30, width=96, height=64)
        for hours in sys.argv[1:] or ("1", "8"):
            film = repeat_film(short, Path(folder) / "long.mp4", seconds=float(hours) * 3600)
            detected, cut = run("detect", film), run("silence", film)
            times = [f"{each:.0f}" for one in (detected, cut) for each in (one["wall"], one["peak"] / 1e6)]
            table.add_row(hours, f"{cut['copied'] + cut['encoded']:.0f}", *times)
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
