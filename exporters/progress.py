"""How far long work has come: a bar on a terminal, a line a stage elsewhere, nothing where nobody asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from framewire.cli.screen import Screen


class Progress(Protocol):
    """Told of the stages of long work."""

    def stage(self, name: str, total: int | None = None) -> contextlib.AbstractContextManager[Callable[[], None]]:
        """A stage of `total` parts that runs inside the block; call what it gives after each part."""


class Silent:
    """Says nothing."""

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """Nothing is shown."""
        del name, total
        yield lambda: None


silent = Silent()


class Shown:
    """Bars on a terminal, lines in a pipe; with --json nothing."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """One bar while the block runs."""
        if not self._screen.live:
            self._screen.words(name)
            yield lambda: None
            return
        columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24)]
        counted = [MofNCompleteColumn()] if total else []
        with Bars(*columns, *counted, TimeElapsedColumn(), console=self._screen.console, transient=True) as bars:
            task = bars.add_task(name, total=total)
            yield lambda: bars.advance(task)
