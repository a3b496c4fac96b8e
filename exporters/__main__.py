"""Writes the built-in models into the model repository, or checks that it holds what they say."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from exporters.declaration import Model
from exporters.engine import ExportFailed, differences, export
from exporters.models import MODELS

REPOSITORY = Path(__file__).resolve().parent.parent / "triton_models"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 1 when a check or an export failed."""
    options = _parser().parse_args(arguments)
    models = options.models or MODELS
    action = _show if options.list else _check if options.check else _export
    try:
        return max([action(model, options.repository) for model in models])
    except ExportFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m exporters", description=__doc__)
    parser.add_argument("models", nargs="*", type=_model, metavar="MODEL", help="all when none is named")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="name the built-in models and write nothing")
    what.add_argument("--check", action="store_true", help="write nothing; fail when an export would change a file")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="default: %(default)s")
    return parser


def _model(name: str) -> Model:
    for model in MODELS:
        if model.name == name:
            return model
    raise argparse.ArgumentTypeError(f"there is no built-in model {name!r}; --list names them")


def _show(model: Model, _repository: Path) -> int:
    _say(f"{model.name}  x{model.scale}  {model.license}  {model.description}")
    return 0


def _check(model: Model, repository: Path) -> int:
    changed = differences(model, repository)
    for path in changed:
        sys.stderr.write(f"{path} is not what `python -m exporters` writes\n")
    return 1 if changed else 0


def _export(model: Model, repository: Path) -> int:
    found = export(model, repository)
    _say(f"{model.name}: {found.exact:.4%} of {found.values} values equal, none off by more than {found.levels}")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
