"""Settings from the environment. Only mains read it, and only through this.

env = Environment(os.environ)
settings = GatewaySettings(grpc_address=env.text("FRAMEWIRE_GRPC_ADDRESS", "127.0.0.1:7600"))
"""

from __future__ import annotations

from collections.abc import Mapping

from framewire.errors import LocalError

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


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

    def flag(self, name: str, *, default: bool) -> bool:
        """yes or no, in the usual spellings."""
        value = self._variables.get(name, "").lower()
        if not value:
            return default
        if value not in _TRUE | _FALSE:
            raise LocalError(f"{name} must be yes or no, not {value!r}")
        return value in _TRUE
