"""System calls that Python has no name for. Linux alone."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
_CAPGET = {"x86_64": 125, "aarch64": 90}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAP_SYS_NICE = 23

MACHINE = os.uname().machine


def syscall(number: int, *arguments: object) -> int:
    """What the call returned. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result: int = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def die_with_parent() -> None:
    """End this process when the parent's *thread* that started it ends: start runners from a thread that stays."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def gain_no_privileges() -> None:
    """From now on a set-uid program is of no use; Landlock and seccomp ask for it."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up what root may beyond the owner of its files, in this thread and those it starts. Raises OSError."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    syscall(_CAPSET[MACHINE], ctypes.byref(header), ctypes.byref(nothing))


def forgo_real_time() -> None:
    """Give up root's right to real-time scheduling, in this thread and those it starts. Raises OSError.

    SVT-AV1 takes it where it can: its threads, and whoever opens it, then run before everything else on the machine,
    and so does every process they start.
    """
    if MACHINE not in _CAPGET:
        return
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    held = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, twice: the first three hold the lower 32
    syscall(_CAPGET[MACHINE], ctypes.byref(header), ctypes.byref(held))
    for index in range(3):
        held[index] &= ~(1 << _CAP_SYS_NICE)
    syscall(_CAPSET[MACHINE], ctypes.byref(header), ctypes.byref(held))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) was refused")
