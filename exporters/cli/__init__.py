"""The exporters' commands: what `python -m exporters` and `framewire models` run."""

from exporters.cli.main import main

__all__ = ["main"]
