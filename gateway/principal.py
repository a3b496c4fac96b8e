"""Who calls. The seam for authentication: until there is one, everybody is anonymous and works in one workspace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

DEFAULT_WORKSPACE = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody, and the workspace everything they see and make belongs to."""

    workspace_id: str
    key: str = ""
    """What names the credential, to count its calls; empty for nobody in particular."""


Identify = Callable[[Mapping[str, str]], Awaitable[Principal]]
"""Metadata (lower-case names) -> who calls. Raises a FramewireError for somebody who may not."""


async def anonymous(metadata: Mapping[str, str]) -> Principal:
    """Everybody, in the default workspace."""
    return Principal(workspace_id=DEFAULT_WORKSPACE)
