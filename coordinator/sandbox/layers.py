"""The layers of the sandbox, and which of them this machine has."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from coordinator.sandbox import landlock, seccomp


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One way the kernel confines a runner."""

    name: str
    here: bool
    """Whether this machine has it."""
    words: str
    """What it does, or what is missing."""


def layers() -> list[Layer]:
    """All layers, also those that are missing here. Enters nothing."""
    if sys.platform != "linux":
        return [Layer(name=name, here=False, words="needs Linux") for name in ("limits", "files", "network", "calls")]
    version, calls = landlock.version(), seccomp.available()
    return [
        Layer(name="limits", here=True, words="memory, processor time and files are bounded"),
        Layer(name="files", here=version > 0, words=_files(version)),
        Layer(name="network", here=version >= landlock.NETWORK_VERSION or calls, words=_network(version, calls)),
        Layer(name="calls", here=calls, words=_calls(calls)),
    ]


def _files(version: int) -> str:
    if version:
        return f"a runner opens its job's folder alone (Landlock {version})"
    return "the kernel has no Landlock (Linux 5.13): a runner can open what its user can"


def _network(version: int, calls: bool) -> str:
    doors = [
        *(["one TCP port (Landlock)"] if version >= landlock.NETWORK_VERSION else []),
        *(["no socket once connected (seccomp)"] if calls else []),
    ]
    return "a runner reaches the model server alone: " + ", ".join(doors) if doors else "a runner can reach any address"


def _calls(calls: bool) -> str:
    if calls:
        return "a runner starts no program and touches no other process (seccomp)"
    return "the kernel takes no seccomp filter here: a runner can start programs"
