"""Where the time of one frame goes: how long each part of the work took, and how often."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

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
        self._under_way: dict[str, int] = defaultdict(int)
        self._since: dict[str, float] = {}

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

    def while_any(self, part: str, future: Future[Any]) -> None:
        """The time until it ends counts for this part; once, however many are under way together."""
        with self._lock:
            if self._under_way[part] == 0:
                self._since[part] = time.perf_counter()
            self._under_way[part] += 1
        future.add_done_callback(lambda _: self._one_ended(part))

    def _one_ended(self, part: str) -> None:
        with self._lock:
            self._under_way[part] -= 1
            self._times[part] += 1
            if self._under_way[part] == 0:
                self._seconds[part] += time.perf_counter() - self._since[part]

    def parts(self) -> list[PartTime]:
        """All of them, in the order in which they first occurred."""
        with self._lock:
            return [PartTime(name=name, seconds=self._seconds[name], times=self._times[name]) for name in self._seconds]
