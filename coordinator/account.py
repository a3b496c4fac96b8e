"""Where the time of one frame goes: how long each part of the work took, and how often."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTime:
    """One part of the work."""

    name: str
    seconds: float
    """Spent in it, by all threads together; waiting for others is not in it."""
    times: int


class Account:
    """Adds up times by part. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = defaultdict(float)
        self._times: dict[str, int] = defaultdict(int)

    def add(self, part: str, seconds: float, times: int = 1) -> None:
        """So many seconds more."""
        with self._lock:
            self._seconds[part] += seconds
            self._times[part] += times

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What the block takes counts for this part."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)

    def each(self, part: str, items: Iterable[T]) -> Iterator[T]:
        """The items; what getting each takes counts for this part."""
        iterator = iter(items)
        while True:
            began = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.add(part, time.perf_counter() - began)
            yield item

    def parts(self) -> list[PartTime]:
        """All of them, in the order in which they first occurred."""
        with self._lock:
            return [PartTime(name=name, seconds=self._seconds[name], times=self._times[name]) for name in self._seconds]
