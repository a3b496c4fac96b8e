"""Becomes the program it is told to be, after asking the kernel to end it when its parent dies.

    python -I -S launch.py PARENT_PID PROGRAM ARGUMENT...

A file of its own that is executed, not a function that runs between fork and exec: the
supervising process may have threads (gRPC's, for one), and between fork and exec of such a process
nothing but system calls is safe.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Never returns: executes the program, or exits with 127 when there is none."""
    parent, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before the line above
        sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the supervisor's own argument vector
    except OSError as error:
        sys.stderr.write(f"cannot execute {command[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
