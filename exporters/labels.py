"""What a file of weights cannot say of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from exporters.declaration import Precision

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Said by whoever brings a model in."""

    name: str
    """Name in the repository; NAME says which will do."""
    license: str
    """SPDX identifier of the weights."""
    source: str
    description: str = ""
    """Neutral value: "", for one made of what was recognised."""
    precision: Precision = Precision.FP32
