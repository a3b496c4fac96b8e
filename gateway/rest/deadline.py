"""How long a client will wait, as gRPC writes it: `grpc-timeout: 500m`."""

from __future__ import annotations

import re

from framewire.errors import InvalidRequest

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def timeout_of(header: str | None) -> float | None:
    """In seconds; None when the client does not say. Raises InvalidRequest."""
    if header is None:
        return None
    found = _TIMEOUT.fullmatch(header.strip())
    if found is None:
        raise InvalidRequest("grpc-timeout must be up to 8 digits and one of H, M, S, m, u, n")
    return int(found.group(1)) * _SECONDS[found.group(2)]
