"""Where to listen, and the rule that nobody unauthenticated may listen to the world."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from framewire.errors import LocalError


@dataclass(frozen=True, slots=True)
class Address:
    """A host (a name or a literal, without brackets) and a port; 0 is any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, name: str) -> Address:
        """From `host:port` or `[v6]:port`. Raises LocalError (CONFIG_INVALID) naming the setting."""
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
            raise LocalError(f"{name} must be host:port, not {text!r}")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach it. A name other than localhost may mean anything: it counts as public."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def refuse_public(address: Address, name: str) -> None:
    """Raise LocalError (CONFIG_INVALID) unless only this machine can reach the address."""
    if not address.is_loopback:
        raise LocalError(
            f"{name}={address} would let everybody in: no authentication is configured; use 127.0.0.1 or [::1]"
        )
