"""Where `framewire bench` says the time went."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from framewire.cli.bench import Lap, Stopwatch, _table
from framewire.cli.screen import Screen
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import Event, Job, PartUsage, Progress, Usage


@pytest.fixture
def clock() -> Iterator[int]:
    return iter(range(100))


def at(stage: str) -> Event:
    return Event(progress=Progress(stage=stage))


def test_every_part_of_the_way_gets_the_time_until_the_next_begins(clock: Iterator[int]) -> None:
    watch = Stopwatch(Screen(as_json=True), clock=lambda: float(next(clock)))
    watch.created(Job())
    watch.uploading(1, 2)
    watch.uploaded(Asset())
    for stage in ("fetch", "process", "process", "store"):
        watch.event(at(stage))
    watch.downloading(1, 2)
    watch.enter("end")
    assert watch.parts == dict.fromkeys(["create", "upload", "queue", "fetch", "process", "store", "download"], 1.0)


def test_the_table_shows_medians_for_one_frame_and_the_parts_of_the_processing() -> None:
    def lap(seconds: float) -> Lap:
        usage = Usage(parts=[PartUsage(name="decode", seconds=seconds / 2)], cpu_seconds=seconds)
        return Lap(parts={"process": seconds}, usage=usage, wall=seconds + 1, frames=100)

    table = _table([lap(1.0), lap(9.0), lap(2.0)])
    rows = list(zip(*(list(column.cells) for column in table.columns), strict=True))
    assert rows == [
        ("process", "20.00", "2.00"),
        ("  decode", "10.00", "1.00"),
        ("all", "30.00", "3.00"),
        ("runner, processor", "20.00", "2.00"),
    ]
