"""How many of a runner's previews become events."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from framewire.v1.job_pb2 import Preview

LARGEST: Final = 128 * 1024
"""Bytes of both pictures together; a larger preview is dropped."""
_LEAST_INTERVAL: Final = 1.5
"""Seconds; runners show one about every two."""
_SHARE: Final = 150


class PreviewPace:
    """Lets one through about every two seconds for five minutes, then ever fewer.

    They stay in the job's log: a job of six hours so leaves 800 pictures there instead of 10,000.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = clock()
        self._shown: float | None = None

    def offer(self, preview: Preview) -> bool:
        """Whether this one is to be shown."""
        if len(preview.before) + len(preview.after) > LARGEST:
            return False
        now = self._clock()
        interval = max(_LEAST_INTERVAL, (now - self._begun) / _SHARE)
        if self._shown is not None and now - self._shown < interval:
            return False
        self._shown = now
        return True
