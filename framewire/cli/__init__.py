"""The `framewire` command: main.py puts it together, one file a command."""

from framewire.cli.main import main

__all__ = ["main"]
