"""Whom a call comes from when proxies stand in between: only those that are trusted are believed.

    client --> proxy A --> proxy B --> gateway          X-Forwarded-For: client, A
                                                        Forwarded: for=client, for=A   (RFC 7239)

Read from the right, the first address that is no trusted proxy is the client. Whatever is left of it the client itself
may have written. A proxy writes one of the two headers and hands the other on as it came: where both are there and do
not say the same, neither is believed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from framewire.errors import LocalError

_HEADERS = frozenset({"forwarded", "x-forwarded-for"})
_FORWARDED_FOR = re.compile(r'(?:^|[;,])\s*for\s*=\s*("[^"]*"|[^;,\s]+)', re.IGNORECASE)

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Proxies:
    """The networks in which proxies stand that say truly whom they speak for."""

    networks: tuple[_Network, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str], name: str) -> Proxies:
        """From `10.0.0.0/8` and `192.0.2.7`. Raises LocalError (CONFIG_INVALID) naming the setting."""
        try:
            return cls(tuple(ipaddress.ip_network(text) for text in texts))
        except ValueError as error:
            raise LocalError(f"{name} has to be addresses and networks, separated by commas: {error}") from None

    def client(self, peer: str, metadata: Mapping[str, str]) -> str:
        """The address of whoever calls; `peer` where no trusted proxy says more. Names are lower-case."""
        if not self.networks or not self._trusts(peer):
            return peer
        found = {self._first_untrusted(peer, said) for said in _said(metadata)}
        return found.pop() if len(found) == 1 else peer

    def _first_untrusted(self, peer: str, said: Sequence[str]) -> str:
        for text in reversed(said):
            address = _address(text)
            if address is None:
                return peer  # a proxy that does not say: all its clients count as one
            peer = address
            if not self._trusts(peer):
                return peer
        return peer

    def _trusts(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self.networks)


def metadata_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by their lower-case names. The last of several counts, but what proxies say is joined:
    some add a line of their own.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        found[name] = f"{found[name]}, {value}" if name in _HEADERS and name in found else value
    return found


def _said(metadata: Mapping[str, str]) -> Iterator[list[str]]:
    """The addresses in each header that is there."""
    if "forwarded" in metadata:
        yield _FORWARDED_FOR.findall(metadata["forwarded"])
    if "x-forwarded-for" in metadata:
        yield [part.strip() for part in metadata["x-forwarded-for"].split(",") if part.strip()]


def _address(text: str) -> str | None:
    """`192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `"[2001:db8::1]:80"`; None for a name that hides one."""
    text = text.strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
