"""`framewire models import`."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import click
from packaging import licenses

from exporters.card import CARD
from exporters.cli.export import parity_words
from exporters.cli.options import data_option, json_option, own_models, repository_option
from exporters.declaration import Precision
from exporters.labels import Labels
from exporters.progress import Shown
from framewire.cli.screen import Screen
from framewire.stack.folder import DataFolder
from framewire.stack.settings import bundled_models, default_data_folder


def _license(context: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        return str(licenses.canonicalize_license_expression(value))
    except licenses.InvalidLicenseExpression:
        message = f"{value!r} is no SPDX identifier, such as Apache-2.0, CC-BY-NC-4.0, or LicenseRef-x for one without"
        raise click.BadParameter(message) from None


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--license", "license_", required=True, callback=_license, metavar="SPDX", help="Of the weights.")
@click.option("--name", help="Name in the repository.  [default: from the file's name]")
@click.option("--source", default="", help="Where the weights come from.  [default: the file's name]")
@click.option("--description", default="", help="One sentence.  [default: what was recognised]")
@click.option("--precision", type=click.Choice(["fp32", "fp16"]), default="fp32", show_default=True)
@click.option("--replace", is_flag=True, help="Replace an imported model of this name.")
@repository_option
@data_option
@json_option
def command(
    file: Path,
    license_: str,
    name: str | None,
    source: str,
    description: str,
    precision: str,
    replace: bool,
    repository: Path | None,
    data: Path | None,
    as_json: bool,
) -> int:
    """Bring in FILE, a .pth, .safetensors or .onnx: recognise it, export it, prove it, then add it.

    What it is follows from the file; its licence does not, and has to be stated. It goes into the data folder's own
    repository: a local stack that runs there serves it to the next job. A file that would have to run code to be read
    is refused. Whatever fails, nothing is left behind.

    \b
    Examples:
      framewire models import 4x-photo.pth --license CC-BY-4.0 --name photo_x4
      framewire models import denoise.onnx --license MIT --source https://example.org/denoise
    """
    from exporters.bring_in import bring_in

    screen = Screen(as_json=as_json)
    labels = Labels(
        name=name or default_name(file),
        license=license_,
        source=source or file.name,
        description=description,
        precision=Precision(precision),
    )
    target = repository or own_models(data)
    exported = bring_in(
        file, labels, target, replace=replace, taken=[bundled_models()] if repository is None else [],
        progress=Shown(screen),
    )  # fmt: skip
    model = exported.model
    words = f"{model.name}: {model.recipe.architecture}, {model.kind}, x{model.scale}, {parity_words(exported.triton)}"
    screen.show(words, {"model": exported.card})
    if not model.used_by_steps:
        only = f"takes {model.fixed_size}x{model.fixed_size} alone" if model.fixed_size else f"is of kind {model.kind}"
        screen.warn(f"{model.name} {only}: no step uses such models yet")
    elif repository is None:
        _wait_for_stack(model.name, data, screen)
    return 0


def _wait_for_stack(model: str, data: Path | None, screen: Screen) -> None:
    """So that the next command can use it."""
    from exporters.running import is_offered

    folder = DataFolder(data or default_data_folder())
    since = (own_models(data) / model / CARD).stat().st_mtime
    offered = asyncio.run(is_offered(folder, model, since=since))
    if offered is None:
        return
    if offered.really:
        screen.words("the local stack that runs offers it")
    else:
        screen.warn(f"the local stack that runs does not offer it{f': {offered.why}' if offered.why else ' yet'}")


def default_name(file: Path) -> str:
    """A name for the repository out of a file's: `4x-Photo V2.pth` -> `4x-photo_v2`."""
    return re.sub(r"[^a-z0-9_.-]+", "_", file.stem.lower()).strip("_.-")[:64]
