"""Options that several commands have, and where models lie when nobody says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from framewire.stack.folder import DataFolder
from framewire.stack.settings import bundled_models, default_data_folder

_Command = TypeVar("_Command", bound=Callable[..., Any])
FOLDER = click.Path(file_okay=False, path_type=Path)


def json_option(command: _Command) -> _Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line, errors too.")(command)


def data_option(command: _Command) -> _Command:
    """`--data FOLDER`."""
    return click.option(
        "--data", type=FOLDER, help="Data folder of the local stack.  [default: below the user's data directory]"
    )(command)


def repository_option(command: _Command) -> _Command:
    """`--repository FOLDER`."""
    return click.option("--repository", type=FOLDER, help="Model repository.  [default: that of the data folder]")(
        command
    )


def own_models(data: Path | None) -> Path:
    """Where imported models go: the data folder's own repository."""
    return DataFolder(data or default_data_folder()).root / "models"


def repositories(data: Path | None, repository: Path | None = None) -> list[Path]:
    """Where a model is looked for: the one repository that is named, or the built-in and the data folder's own."""
    return [repository] if repository else [bundled_models(), own_models(data)]
