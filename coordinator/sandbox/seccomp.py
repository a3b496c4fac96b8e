"""seccomp: system calls a process may not make, kept by a small program in the kernel.

What is refused fails with EPERM, as if the user had no right to it. Two programs: `forbid` before the first byte
of a stranger's file, `close_network` when the connection to the model server stands. Both hold for every thread.
https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from coordinator.sandbox.kernel import MACHINE, syscall
from coordinator.sandbox.syscalls import ARCHITECTURES, FORBIDDEN, NETWORK, Architecture

_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_TO_ALL_THREADS = 1
_ALLOW, _KILL_PROCESS, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_REFUSE: Final = _FAIL | errno.EPERM
_NOT_HERE: Final = _FAIL | errno.ENOSYS

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
_X32: Final = 0x40000000
"""From here on x86-64's second set of call numbers begins, which nobody uses."""
_CLONE_THREAD: Final = 0x10000
_AF_INET, _AF_INET6, _SOCK_STREAM, _SOCK_KINDS = 2, 10, 1, 0xF
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of classic BPF: a code, how far to jump when it holds and when not, and a number."""

    code: int
    value: int
    then: int = 0
    otherwise: int = 0

    def packed(self) -> bytes:
        """As the kernel takes it."""
        return struct.pack("=HBBI", self.code, self.then, self.otherwise, self.value)


Program = Sequence[Instruction]


class _Fprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def available() -> bool:
    """Whether the kernel takes such programs and this machine's call numbers are known."""
    architecture = ARCHITECTURES.get(MACHINE)
    if architecture is None:
        return False
    action = ctypes.c_uint32(_FAIL)
    try:
        syscall(
            architecture.numbers["seccomp"], ctypes.c_uint(_GET_ACTION_AVAIL), ctypes.c_uint(0), ctypes.byref(action)
        )
    except OSError:
        return False
    return True


def forbid(pid: int) -> None:
    """No other program, no other process, no mounts, no privileges; sockets for TCP alone. Raises OSError."""
    here = ARCHITECTURES[MACHINE]
    _install(here, [*_always(here, FORBIDDEN), *_sometimes(here, pid)])


def close_network() -> None:
    """No new socket of any kind, no new connection; what is connected stays. Raises OSError."""
    here = ARCHITECTURES[MACHINE]
    _install(here, _always(here, NETWORK))


def _install(here: Architecture, rules: Program) -> None:
    program = b"".join(step.packed() for step in [*_head(here), *rules, Instruction(_RETURN, _ALLOW)])
    fprog = _Fprog(len(program) // 8, program)
    syscall(
        here.numbers["seccomp"], ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_TO_ALL_THREADS), ctypes.byref(fprog)
    )


def _head(here: Architecture) -> Program:
    return [
        Instruction(_LOAD, _ARCHITECTURE),
        Instruction(_EQUAL, here.audit, then=1),
        Instruction(_RETURN, _KILL_PROCESS),
        Instruction(_LOAD, _NUMBER),
        *_when(Instruction(_AT_LEAST, _X32), [Instruction(_RETURN, _NOT_HERE)]),
    ]


def _always(here: Architecture, names: Iterable[str]) -> Program:
    """Refuse these calls whatever their arguments; a machine that lacks one needs no rule for it."""
    numbers = [here.numbers[name] for name in names if name in here.numbers]
    return [step for number in numbers for step in _when(Instruction(_EQUAL, number), [Instruction(_RETURN, _REFUSE)])]


def _sometimes(here: Architecture, pid: int) -> Program:
    """Calls that depend on an argument: threads but no processes, signals to itself alone, TCP alone."""
    return [
        *_call(here, "clone", _allow_if(0, Instruction(_ANY_BIT, _CLONE_THREAD))),
        *_call(here, "clone3", [Instruction(_RETURN, _NOT_HERE)]),  # libc goes on with clone, whose flags can be seen
        *_call(here, "kill", _allow_if(0, Instruction(_EQUAL, pid))),
        *_call(here, "tgkill", _allow_if(0, Instruction(_EQUAL, pid))),
        *_call(here, "prlimit64", _allow_if(0, Instruction(_EQUAL, 0), Instruction(_EQUAL, pid))),
        *_call(here, "ioctl", _refuse_if(1, Instruction(_EQUAL, _TIOCSTI), Instruction(_EQUAL, _TIOCLINUX))),
        *_call(here, "socket", _tcp_only()),
    ]


def _call(here: Architecture, name: str, body: Program) -> Program:
    """Run `body`, which returns, for one call; then the number is still loaded for those that follow."""
    return _when(Instruction(_EQUAL, here.numbers[name]), body)


def _when(test: Instruction, body: Program) -> Program:
    return [Instruction(test.code, test.value, then=0, otherwise=len(body)), *body]


def _allow_if(argument: int, *tests: Instruction) -> Program:
    allow = [step for test in tests for step in _when(test, [Instruction(_RETURN, _ALLOW)])]
    return [_load(argument), *allow, Instruction(_RETURN, _REFUSE)]


def _refuse_if(argument: int, *tests: Instruction) -> Program:
    refuse = [step for test in tests for step in _when(test, [Instruction(_RETURN, _REFUSE)])]
    return [_load(argument), *refuse, Instruction(_RETURN, _ALLOW)]


def _tcp_only() -> Program:
    stream = [
        _load(1),
        Instruction(_AND, _SOCK_KINDS),
        *_when(Instruction(_EQUAL, _SOCK_STREAM), [Instruction(_RETURN, _ALLOW)]),
        Instruction(_RETURN, _REFUSE),
    ]
    return [
        _load(0),
        *_when(Instruction(_EQUAL, _AF_INET), stream),
        *_when(Instruction(_EQUAL, _AF_INET6), stream),
        Instruction(_RETURN, _REFUSE),
    ]


def _load(argument: int) -> Instruction:
    """The lower half of an argument; both machines are little-endian, and no flag tested here is in the upper half."""
    return Instruction(_LOAD, 16 + 8 * argument)
