"""A group of commands whose modules are imported when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

import click


class LazyCommands(click.Group):
    """Derive from it and fill `modules`; a command is what its module calls `command`."""

    modules: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Name -> module, and what --help says of the command; in the order people meet them."""

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order people meet them."""
        return list(self.modules)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command `command` of the module that is called as it is."""
        if name not in self.modules:
            return None
        command: click.Command = import_module(self.modules[name][0]).command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in self.modules.items()])
