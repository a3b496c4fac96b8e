"""What a confined process can and cannot do, tried for real in a process that confines itself."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.runner import access_of, numeric
from coordinator.sandbox import Access, landlock, layers
from coordinator.sandbox.enter import rules
from coordinator.sandbox.layers import Layer
from coordinator.sandbox.trial import attempts
from framewire.v1.job_pb2 import OutputSettings
from framewire.work.v1.work_pb2 import InferenceAddress, RunnerOrder, StoredSegment

COMPLETE = all(layer.here for layer in layers())
needs_all = pytest.mark.skipif(not COMPLETE, reason="this kernel lacks a layer of the sandbox")

CONTROL = """
import sys
from pathlib import Path
from coordinator.sandbox import Access, Mode, enter, seal
enter(Access(), Mode(sys.argv[1]))
print(Path(sys.argv[2]).read_text())
"""

REAL_TIME = """
import os
from coordinator.sandbox import SandboxLimits, begin
begin(SandboxLimits())
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
except PermissionError:
    print("refused")
"""


@functools.cache
def tried() -> dict[str, str]:
    """What `python -m coordinator.sandbox` found out."""
    done = subprocess.run([sys.executable, "-m", "coordinator.sandbox"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    results: dict[str, str] = json.loads(done.stdout)["tried"]
    return results


@needs_all
@pytest.mark.parametrize("name", [trial.name for trial in attempts(Path(), Path()) if not trial.allowed])
def test_a_confined_process_is_refused_to(name: str) -> None:
    assert tried()[name] == "refused"


@needs_all
def test_a_confined_process_can_work_in_its_own_folder() -> None:
    assert tried()["write a file of its own"] == "done"


@needs_all
@pytest.mark.parametrize(("mode", "reads"), [("off", True), ("prefer", False), ("require", False)])
def test_the_mode_decides_whether_files_of_others_can_be_read(tmp_path: Path, mode: str, reads: bool) -> None:
    (tmp_path / "other").write_text("of another job")
    done = subprocess.run(
        [sys.executable, "-c", CONTROL, mode, tmp_path / "other"], capture_output=True, text=True, timeout=30
    )
    assert (done.stdout.strip() == "of another job") is reads
    assert ("PermissionError" in done.stderr) is not reads


def test_every_layer_says_what_it_does_or_what_is_missing() -> None:
    assert [layer.name for layer in layers()] == ["limits", "files", "network", "calls"]
    assert all(isinstance(layer, Layer) and layer.words for layer in layers())


def test_a_job_reaches_its_own_files_and_its_model_server_alone() -> None:
    order = RunnerOrder(
        input_path="/scratch/job/input",
        output_path="/scratch/job/output.mp4",
        segments_path="/scratch/job/segments",
        resume=[StoredSegment(path="/scratch/job/old/0", record_path="/scratch/job/old/0.record")],
        inference=InferenceAddress(url="ipv4:127.0.0.1:8001", shared_memory=True),
    )
    access = access_of(order)
    assert set(access.write) == {Path("/scratch/job"), Path("/scratch/job/segments")}
    assert set(access.read) == {
        Path("/scratch/job/input"),
        *map(Path, ("/scratch/job/old/0", "/scratch/job/old/0.record")),
    }
    assert access.ports == (8001,)
    assert access.shared_memory
    assert not access.gpu


def test_the_gpus_devices_are_open_to_a_job_that_asks_for_its_encoder_and_to_no_other(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm", "sda", "mem"):
        (tmp_path / name).touch()
    order = RunnerOrder(output_path="/scratch/job/output.mp4", output=OutputSettings(hardware=True))
    plain = {rule.path: rule.rights for rule in rules(Access(), devices=tmp_path)}
    asked = {rule.path: rule.rights for rule in rules(access_of(order), devices=tmp_path)}
    more = {path: rights for path, rights in asked.items() if path not in plain}
    devices = {tmp_path / name for name in ("nvidia0", "nvidiactl", "nvidia-uvm")}
    assert {path for path, rights in more.items() if rights == landlock.DEVICE} == devices
    written = {path for path, rights in more.items() if rights & landlock.KEEP & ~landlock.READ} - devices
    assert written == {Path("/scratch/job")}
    assert Path("/proc/driver/nvidia") in more


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("127.0.0.1:8001", "ipv4:127.0.0.1:8001"),
        ("[::1]:8001", "ipv6:[::1]:8001"),
        ("no-such-host.invalid:8001", "no-such-host.invalid:8001"),
    ],
)
def test_the_model_servers_name_is_looked_up_before_the_network_is_closed(url: str, expected: str) -> None:
    assert numeric(url) == expected


def test_a_runner_never_runs_before_the_rest_of_the_machine_not_even_as_root_and_without_a_sandbox() -> None:
    done = subprocess.run([sys.executable, "-c", REAL_TIME], capture_output=True, text=True, timeout=30)
    assert (done.stdout.strip(), done.stderr) == ("refused", "")
