"""Free ports on 127.0.0.1."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from framewire.errors import ErrorCode, LocalError

HOST = "127.0.0.1"
_LOWEST = 10_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _lowest_ephemeral() -> int:
    try:
        return int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768


class PortChooser:
    """Hands out each port once.

    Chosen ports lie below the range from which the kernel takes ports for outgoing
    connections: one of those could be taken between the choice and the server's start.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def choose(self, given: int | None, *, preferred: int | None = None) -> int:
        """The given port, else the preferred one if it is free, else any.

        Raises LocalError (CONFIG_INVALID) when the given port is taken.
        """
        port = self._given(given) if given is not None else self._any(preferred)
        self._taken.add(port)
        return port

    def _given(self, port: int) -> int:
        if port in self._taken or not is_free(port):
            raise LocalError(f"port {port} is taken; choose another one or leave the choice to Framewire")
        return port

    def _any(self, preferred: int | None) -> int:
        if preferred is not None and preferred not in self._taken and is_free(preferred):
            return preferred
        for _ in range(200):
            port = random.randrange(_LOWEST, max(_lowest_ephemeral(), _LOWEST + 1_000))  # noqa: S311 - not a secret
            if port not in self._taken and is_free(port):
                return port
        raise LocalError("no free port found on 127.0.0.1", code=ErrorCode.STACK_START_FAILED)
