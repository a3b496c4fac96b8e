"""What a program in the sandbox may and may not do, as attempts that can be made."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One attempt."""

    name: str
    act: Callable[[], object]
    allowed: bool = False
    """Whether it has to succeed."""
    sealed: bool = False
    """To be made after the network was closed."""

    def outcome(self) -> str:
        """`done`, `refused`, or what else happened."""
        try:
            self.act()
        except PermissionError:
            return "refused"
        except OSError as error:
            return error.strerror or "failed"
        return "done"

    def as_wanted(self, outcome: str) -> bool:
        """Whether the sandbox did its part."""
        return (outcome == "done") is self.allowed if self.allowed else outcome == "refused"


def attempts(folder: Path, other: Path) -> list[Trial]:
    """In a process that may use `folder` and connect to port 1; `other` is a file that is not its own."""
    library = ctypes.CDLL(None, use_errno=True)
    parent = os.getppid()
    return [
        Trial(name="write a file of its own", act=lambda: _use(folder / "mine"), allowed=True),
        Trial(name="read another job's file", act=other.read_bytes),
        Trial(name="write another job's file", act=lambda: other.write_bytes(b"")),
        Trial(name="delete another job's file", act=other.unlink),
        Trial(name="make a file elsewhere", act=(other.parent / "new").touch),
        Trial(name="read the users of this machine", act=Path("/etc/passwd").read_bytes),
        Trial(name="read the parent's environment", act=Path(f"/proc/{parent}/environ").read_bytes),
        Trial(name="change a file's mode", act=lambda: other.chmod(0o777)),
        Trial(name="start a program", act=lambda: os.execv("/bin/true", ["true"])),  # noqa: S606 - to see it refused
        Trial(name="start a process", act=os.fork),
        Trial(name="signal the parent", act=lambda: os.kill(parent, signal.SIGCONT)),
        Trial(name="mount something", act=lambda: _call(library, "mount", b"none", b"/tmp", b"tmpfs", 0, None)),
        Trial(name="connect to another port", act=lambda: _connect("127.0.0.1", 2)),
        Trial(name="send a datagram", act=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()),
        Trial(name="open a unix socket", act=lambda: socket.socket(socket.AF_UNIX).close()),
        Trial(name="listen", act=_listen),
        Trial(name="make a socket once connected", act=lambda: socket.socket().close(), sealed=True),
    ]


def _use(path: Path) -> None:
    path.write_text("a result")
    path.read_text()
    path.unlink()


def _connect(host: str, port: int) -> None:
    with socket.socket() as wire:
        wire.settimeout(1.0)
        wire.connect((host, port))


def _listen() -> None:
    with socket.socket() as wire:
        wire.bind(("127.0.0.1", 0))
        wire.listen()


def _call(library: ctypes.CDLL, name: str, *arguments: object) -> None:
    if getattr(library, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
