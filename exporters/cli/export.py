"""`python -m exporters export`, `framewire models export`."""

from __future__ import annotations

from pathlib import Path

import click

from exporters.cli.options import FOLDER, json_option
from exporters.declaration import Model
from exporters.engine import differences, export
from exporters.models import MODELS
from exporters.parity import Parity
from exporters.progress import Shown
from framewire.cli.screen import Screen
from framewire.stack.settings import bundled_models


def _models(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> list[Model]:
    known = {model.name: model for model in MODELS}
    for name in names:
        if name not in known:
            raise click.BadParameter(f"there is no built-in model {name!r}; --list names them")
    return [known[name] for name in names] or list(MODELS)


@click.command("export")
@click.argument("models", nargs=-1, callback=_models, metavar="[MODEL]...")
@click.option("--list", "only_list", is_flag=True, help="Name the built-in models and write nothing.")
@click.option("--check", is_flag=True, help="Write nothing; fail when an export would change a file.")
@click.option("--repository", type=FOLDER, default=bundled_models, help="Where to.  [default: the checkout's own]")
@json_option
def command(models: list[Model], only_list: bool, check: bool, repository: Path, as_json: bool) -> int:
    """Export built-in models, all when none is named: build, prove on ONNX Runtime and Triton, then replace.

    \b
    Examples:
      framewire models export
      framewire models export upscale_bicubic_x2 --repository /tmp/models
    """
    screen = Screen(as_json=as_json)
    action = _show if only_list else _check if check else _export
    return max(action(model, repository, screen) for model in models)


def _show(model: Model, repository: Path, screen: Screen) -> int:
    del repository
    record = {"name": model.name, "scale": model.scale, "license": model.license, "description": model.description}
    screen.show(f"{model.name}  x{model.scale}  {model.license}  {model.description}", {"model": record})
    return 0


def _check(model: Model, repository: Path, screen: Screen) -> int:
    changed = differences(model, repository)
    for path in changed:
        screen.error("MODEL_INVALID", f"{path} is not what `python -m exporters` writes")
    return 1 if changed else 0


def _export(model: Model, repository: Path, screen: Screen) -> int:
    exported = export(model, repository, Shown(screen))
    screen.show(f"{model.name}: {parity_words(exported.triton)}", {"model": exported.card})
    return 0


def parity_words(found: Parity) -> str:
    """`99.9995% of 654336 values equal, none off by more than 1`."""
    return f"{found.exact:.4%} of {found.values} values equal, none off by more than {found.levels}"
