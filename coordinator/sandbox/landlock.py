"""Landlock: which files a process may open and which TCP ports it may connect to, kept by the kernel.

A rule set starts with nothing allowed. It holds for the thread that enters it and for threads that one
starts, so it has to be entered while there is only one. Files that are open already stay open.
https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coordinator.sandbox.kernel import syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_FIRST_RIGHTS: Final = (1 << 13) - 1
_LATER_RIGHTS: Final = {2: 1 << 13, 3: _TRUNCATE, 5: _IOCTL_DEV}
_CONNECT_TCP: Final = 1 << 1
_ALL_TCP: Final = 0b11
_ALL_SCOPES: Final = 0b11  # abstract unix sockets and signals stay inside

NETWORK_VERSION: Final = 4
SCOPE_VERSION: Final = 6

READ: Final = _READ_FILE | READ_DIR
"""Open files for reading, list folders."""
KEEP: Final = READ | _WRITE_FILE | _TRUNCATE | _MAKE_REG | _REMOVE_FILE
"""All of that, and make, write and delete files."""
BUILD: Final = KEEP | _MAKE_DIR | _REMOVE_DIR
"""All of that, and make and delete folders."""
DEVICE: Final = READ | _WRITE_FILE | _IOCTL_DEV
"""Use a device."""
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _NetPort(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


@dataclass(frozen=True, slots=True)
class Rule:
    """What is allowed at a path and beneath it."""

    path: Path
    rights: int


def version() -> int:
    """Version of Landlock here; 0 when there is none."""
    try:
        return syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_GET_VERSION))
    except OSError:
        return 0


def restrict(rules: Iterable[Rule], *, ports: Iterable[int]) -> None:
    """Allow these paths and these TCP ports from now on, and nothing else of the kind. Raises OSError.

    A path that does not exist is left out.
    """
    here = version()
    handled = _handled(here)
    attributes = _Ruleset(
        handled, _ALL_TCP if here >= NETWORK_VERSION else 0, _ALL_SCOPES if here >= SCOPE_VERSION else 0
    )
    ruleset = syscall(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(_size(here)), ctypes.c_uint32(0))
    try:
        for rule in rules:
            _allow_path(ruleset, rule, handled)
        if here >= NETWORK_VERSION:
            for port in ports:
                _add(ruleset, _NET_PORT, _NetPort(_CONNECT_TCP, port))
        syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _handled(here: int) -> int:
    return _FIRST_RIGHTS | sum(right for since, right in _LATER_RIGHTS.items() if here >= since)


def _size(here: int) -> int:
    """Bytes of the attributes that this version knows."""
    return 24 if here >= SCOPE_VERSION else 16 if here >= NETWORK_VERSION else 8


def _allow_path(ruleset: int, rule: Rule, handled: int) -> None:
    try:
        parent = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = rule.rights & handled
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= _OF_FILES
        _add(ruleset, _PATH_BENEATH, _PathBeneath(rights, parent))
    finally:
        os.close(parent)


def _add(ruleset: int, kind: int, rule: ctypes.Structure) -> None:
    syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(kind), ctypes.byref(rule), ctypes.c_uint32(0))
