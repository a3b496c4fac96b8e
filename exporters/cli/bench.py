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
from framewire.cli.screen import Screen


def _sizes(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> list[tuple[int, int]]:
    sizes = []
    for text in texts:
        found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
        if not found:
            raise click.BadParameter(f"{text!r} is not of the form WIDTHxHEIGHT")
        sizes.append((int(found[2]), int(found[1])))
    return sizes or list(SIZES)


@click.command("bench")
@click.argument("model")
@click.option("--size", "sizes", multiple=True, callback=_sizes, metavar="WxH", help="[default: 640x360 and 1280x720]")
@click.option("--batch", "batches", multiple=True, type=click.IntRange(1, 64), help="[default: 1 and the largest]")
@click.option("--write", is_flag=True, help="Put the numbers into the model's card.")
@repository_option
@data_option
@json_option
def command(
    model: str,
    sizes: list[tuple[int, int]],
    batches: tuple[int, ...],
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
    """
    screen = Screen(as_json=as_json)
    folder = find_model(model, repositories(data, repository))
    speeds = bench(folder, sizes=sizes, batches=batches, progress=Shown(screen))
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
