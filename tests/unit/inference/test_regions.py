"""Names of shared-memory regions say who made them."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from coordinator.inference import regions
from coordinator.inference.regions import RegionName


def test_a_name_survives_being_written_and_read() -> None:
    name = RegionName.new()
    assert RegionName.parse(str(name)) == name


@pytest.mark.parametrize("text", ["", "framewire-arena", "other.a.1.2.b", "framewire-arena.h.x.2.r", "a.b.c.d.e"])
def test_other_names_are_not_ours(text: str) -> None:
    assert RegionName.parse(text) is None


def test_the_maker_lives_while_its_process_does() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = regions._start_of(process.pid)
        assert started is not None
        name = replace(RegionName.new(), pid=process.pid, start=started)
        assert not name.is_dead
    assert name.is_dead


def test_a_process_id_that_is_used_again_is_not_the_maker() -> None:
    name = RegionName.new()
    assert name.pid == os.getpid()
    assert not name.is_dead
    assert replace(name, start=name.start + 1).is_dead


def test_nothing_is_said_about_other_hosts() -> None:
    assert not replace(RegionName.new(), host="elsewhere", pid=1, start=1).is_dead


def test_a_region_is_readable_by_its_user_alone_and_gone_when_unlinked() -> None:
    name = RegionName.new()
    mapping = regions.create(name, mmap.PAGESIZE)
    assert name.file.stat().st_mode & 0o777 == 0o600
    regions.unlink(name)
    regions.unlink(name)
    assert not name.file.exists()
    mapping[:4] = b"abcd"
    assert mapping[:4] == b"abcd"
    mapping.close()
