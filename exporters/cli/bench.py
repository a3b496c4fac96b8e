"""`framewire models bench`."""

from __future__ import annotations

import re
from pathlib import Path

import click
from rich.table import Table

from exporters.bench import SIZES, Speed, bench, machine, write_speed
from exporters.cli.options import data_option, json_option, repositories, repository_option
from exporters.folder import find_model
from exporters.progress import Shown
from exporters.race import Race, race
from framewire.cli.screen import Screen

_MOST_PIXELS = 7680 * 4320


def _sizes(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> list[tuple[int, int]]:
    sizes = []
    for text in texts:
        found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
        if not found:
            raise click.BadParameter(f"{text!r} is not of the form WIDTHxHEIGHT")
        if int(found[1]) * int(found[2]) > _MOST_PIXELS:
            raise click.BadParameter(f"{text} is larger than a picture of 7680x4320")
        sizes.append((int(found[2]), int(found[1])))
    return sizes or list(SIZES)


@click.command("bench")
@click.argument("model")
@click.option("--size", "sizes", multiple=True, callback=_sizes, metavar="WxH", help="[default: 640x360 and 1280x720]")
@click.option("--batch", "batches", multiple=True, type=click.IntRange(1, 64), help="[default: 1 and the largest]")
@click.option("--beside", metavar="OTHER", help="Compare with another model, in turn, in one process.")
@click.option(
    "--threads", multiple=True, type=click.IntRange(1, 256), help="With --beside.  [default: 1 and all cores]"
)
@click.option("--write", is_flag=True, help="Put the numbers into the model's card.")
@repository_option
@data_option
@json_option
def command(
    model: str,
    sizes: list[tuple[int, int]],
    batches: tuple[int, ...],
    beside: str | None,
    threads: tuple[int, ...],
    write: bool,
    repository: Path | None,
    data: Path | None,
    as_json: bool,
) -> int:
    """Measure MODEL's speed on this machine: in one process, and through Triton by shared memory and by gRPC.

    \b
    Examples:
      framewire models bench enhance_x2
      framewire models bench enhance_x2 --size 1920x1080 --batch 1
      framewire models bench enhance_x2 --beside enhance_x2_int8
    """
    if beside and write:
        raise click.UsageError("--write puts one model's numbers into its card; it does not go with --beside")
    if threads and not beside:
        raise click.UsageError("--threads goes with --beside")
    screen = Screen(as_json=as_json)
    folder = find_model(model, repositories(data, repository))
    if beside:
        other = find_model(beside, repositories(data, repository))
        races = race(folder, other, sizes=sizes, batches=batches or (1,), threads=threads, progress=Shown(screen))
        _show_races(screen, model, beside, races)
        return 0
    speeds = bench(folder, sizes=sizes, batches=batches, progress=Shown(screen))
    if not speeds:
        raise click.BadParameter(f"{model} takes no batch that large", param_hint="'--batch'")
    for speed in speeds:
        screen.record({"speed": {"model": model, **speed.record()}})
    screen.words(_table(speeds))
    screen.words(f"on {machine()}")
    if write:
        write_speed(folder, speeds)
    return 0


def _table(speeds: list[Speed]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("size", "batch", "where", "ms a frame", "ms a megapixel"):
        table.add_column(heading, justify="left" if heading in ("size", "where") else "right", no_wrap=True)
    for speed in speeds:
        table.add_row(
            f"{speed.width}x{speed.height}",
            str(speed.batch),
            speed.where,
            f"{speed.ms / speed.batch:.2f}",
            f"{speed.ms_per_megapixel:.1f}",
        )
    return table


def _show_races(screen: Screen, first: str, second: str, races: list[Race]) -> None:
    for each in races:
        screen.record({"race": {"first_model": first, "second_model": second, **each.record()}})
    screen.words(_race_table(first, second, races))
    screen.words(f"on {machine()}")


def _race_table(first: str, second: str, races: list[Race]) -> Table:
    table = Table(box=None, pad_edge=False)
    headings = (
        "size",
        "threads",
        "pairs",
        f"{first}, ms",
        "CPU ms",
        f"{second}, ms",
        "CPU ms",
        "times as fast",
        "by CPU",
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "size" else "right")
    for each in races:
        counts = (f"{each.width}x{each.height}", str(each.threads), str(each.pairs))
        times = (each.first.ms, each.first.cpu_ms, each.second.ms, each.second.cpu_ms)
        ratios = (each.speedup, each.cpu_speedup)
        table.add_row(*counts, *(f"{ms:.1f}" for ms in times), *(f"{ratio:.2f}" for ratio in ratios))
    return table
