"""How parameters are written, for people: the contract says it as regular expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from framewire.steps import cut_silence, inpaint

HOW_WRITTEN: Final[Mapping[str, str]] = {**cut_silence.HOW_WRITTEN, **inpaint.HOW_WRITTEN}
"""By the parameter's name, of whichever step: no two steps have one of the same name that is written differently."""
