"""Settings from the environment. Only mains read it, and only through this.

env = Environment(os.environ)
settings = GatewaySettings(grpc_address=env.text("FRAMEWIRE_GRPC_ADDRESS", "127.0.0.1:7600"))
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from framewire.errors import LocalError

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Bytes out of `500M`, `1.5G`, `4GiB` or a plain number; units are powers of 1024. Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?", text.strip().upper())
    if found is None:
        raise ValueError(f"{text!r} is not a size such as 500M or 4G")
    return int(float(found[1]) * _UNITS[found[2]])


class Environment:
    """Typed reads of environment variables; each raises LocalError (CONFIG_INVALID) naming the variable."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def text(self, name: str, default: str | None = None) -> str:
        """A string; required when there is no default."""
        value = self._variables.get(name) or default
        if value is None:
            raise LocalError(f"set {name}")
        return value

    def integer(self, name: str, default: int, *, least: int) -> int:
        """A whole number that is at least `least`."""
        value = self._variables.get(name)
        if not value:
            return default
        try:
            number = int(value)
        except ValueError:
            raise LocalError(f"{name} must be a whole number, not {value!r}") from None
        if number < least:
            raise LocalError(f"{name} must be at least {least}, not {number}")
        return number

    def size(self, name: str) -> int | None:
        """Bytes, written as parse_size reads them; None when it is not set."""
        value = self._variables.get(name)
        if not value:
            return None
        try:
            return parse_size(value)
        except ValueError as error:
            raise LocalError(f"{name}: {error}") from None

    def flag(self, name: str, *, default: bool) -> bool:
        """yes or no, in the usual spellings."""
        value = self._variables.get(name, "").lower()
        if not value:
            return default
        if value not in _TRUE | _FALSE:
            raise LocalError(f"{name} must be yes or no, not {value!r}")
        return value in _TRUE
