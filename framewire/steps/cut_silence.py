"""The parameters of `cut_silence`, read from the texts they are written in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DEFAULTS: Final[Mapping[str, str]] = {
    "detector": "level",
    "threshold": "0.04",
    "margin": "0.2s",
    "mincut": "0.2s",
    "minclip": "0.1s",
    "track": "mix",
    "motion": "0",
    "silent": "cut",
    "loud": "keep",
    "fade": "5ms",
    "smart": "true",
}
"""Parameter -> what is used when it is not given; those of auto-editor where it has the same."""
