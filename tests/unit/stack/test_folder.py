"""The data folder: keys, lock, state."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from framewire.errors import ErrorCode, LocalError
from framewire.stack.folder import DataFolder, ServiceState, StackState

SERVICE = ServiceState(name="nats", pid=1, address="127.0.0.1:1", log="/x", phase="ready", restarts=0, note="")
STATE = StackState(
    pid=os.getpid(), ready=True, grpc="127.0.0.1:7600", rest="http://127.0.0.1:7680", services=(SERVICE,)
)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    made.create()
    return made


def test_keys_stay_the_same_and_are_readable_by_their_owner_alone(folder: DataFolder) -> None:
    keys = folder.keys()
    assert folder.keys() == keys
    assert stat.S_IMODE(folder.keys_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700


def test_two_folders_have_different_keys_and_markers(tmp_path: Path) -> None:
    one, two = DataFolder(tmp_path / "one"), DataFolder(tmp_path / "two")
    one.create()
    two.create()
    assert one.keys() != two.keys()
    assert one.marker != two.marker


def test_a_state_is_read_back_as_it_was_written(folder: DataFolder) -> None:
    folder.write_state(STATE)
    assert folder.read_state() == STATE


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"services": 3}'])
def test_a_state_file_that_makes_no_sense_counts_as_none(folder: DataFolder, text: str) -> None:
    folder.state_file.write_text(text)
    assert folder.read_state() is None


async def test_a_second_stack_in_the_same_folder_is_refused_at_once(folder: DataFolder) -> None:
    lock = await folder.lock()
    folder.write_state(STATE)
    with pytest.raises(LocalError) as caught:
        await DataFolder(folder.root).lock()
    assert caught.value.code is ErrorCode.STACK_ALREADY_RUNNING
    os.close(lock)


async def test_a_lock_of_a_dead_stack_is_waited_for_up_to_a_bound(folder: DataFolder) -> None:
    lock = await folder.lock()
    with pytest.raises(LocalError) as caught:
        await folder.lock(wait=0.0)
    assert caught.value.code is ErrorCode.STACK_ALREADY_RUNNING
    os.close(lock)
    os.close(await folder.lock(wait=0.0))


async def test_a_stack_runs_only_while_its_lock_is_held_and_its_supervisor_lives(
    folder: DataFolder,
) -> None:
    folder.write_state(STATE)
    assert folder.running() is None
    lock = await folder.lock()
    assert folder.running() == STATE
    dead = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await dead.wait()
    folder.write_state(replace(STATE, pid=dead.pid))
    assert folder.running() is None
    os.close(lock)


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError) as caught:
        DataFolder(tmp_path / "file").create()
    assert caught.value.code is ErrorCode.FILE_UNWRITABLE
