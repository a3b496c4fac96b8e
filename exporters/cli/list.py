"""`framewire models list`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from exporters.card import Card
from exporters.cli.options import data_option, json_option, repositories, repository_option
from exporters.config import CONFIG, memory_in, parse_config
from exporters.declaration import Model
from exporters.errors import ExportFailed
from exporters.folder import model_folders, read_folder
from exporters.running import loaded_models
from framewire.cli.screen import Screen, whole
from framewire.stack.folder import DataFolder
from framewire.stack.settings import default_data_folder


@click.command("list")
@repository_option
@data_option
@json_option
def command(repository: Path | None, data: Path | None, as_json: bool) -> int:
    """Show the models of the repositories: the built-in ones and the data folder's own.

    While a local stack runs in the data folder, also which of them are loaded.
    """
    screen = Screen(as_json=as_json)
    loaded = None if repository else loaded_models(DataFolder(data or default_data_folder()))
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "kind", "scale", "precision", "memory", "state", "license", "description"):
        table.add_column(heading, no_wrap=True)
    for place in repositories(data, repository):
        for folder in model_folders(place):
            record = _record(folder, loaded)
            screen.record({"model": record})
            table.add_row(*_row(record))
    screen.words(whole(table) if table.row_count else "no models")
    return 0


def _record(folder: Path, loaded: set[str] | None) -> Card:
    state = "" if loaded is None else "loaded" if folder.name in loaded else "not loaded"
    try:
        model, card = read_folder(folder, plans=True)
    except ExportFailed as error:
        return {"name": folder.name, "state": "broken", "repository": str(folder.parent), "error": error.message}
    return {**_facts(model), "memoryBytes": _memory(folder), "state": state, "repository": str(folder.parent)} | (
        {"source": model.source} if card else {}
    )


def _facts(model: Model) -> Card:
    return {
        "name": model.name,
        "kind": str(model.kind),
        "scale": model.scale,
        "precision": str(model.precision),
        "license": model.license,
        "description": model.description,
    }


def _memory(folder: Path) -> int:
    config = parse_config((folder / CONFIG).read_text())
    return memory_in({name: value.string_value for name, value in config.parameters.items()}).loaded


def _row(record: Card) -> list[str]:
    if "error" in record:
        return [record["name"], *[""] * 4, "broken", "", record["error"]]
    memory = f"{record['memoryBytes'] / 1e6:.0f} MB" if record["memoryBytes"] else ""
    facts = [record["name"], record["kind"], f"x{record['scale']}", record["precision"], memory]
    return [*facts, record["state"], record["license"], record["description"]]
