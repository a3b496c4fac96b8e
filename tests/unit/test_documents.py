"""The documents speak of what is there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from framewire.cli.main import cli
from framewire.edits.exports import FORMATS
from framewire.errors import ErrorCode
from framewire.steps.catalogue import get_step

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("clients/**/*.md")])
PROGRAMS = ("proto", "framewire", "gateway", "coordinator", "exporters", "triton_models", "clients", "deploy", "tests",
            "docs", "scripts")  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_path_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    linked = [(document.parent / link) for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text)]
    quoted = [
        ROOT / name
        for name in re.findall(r"`([A-Za-z_]+/[\w./-]+)`", text)
        if name.split("/")[0] in PROGRAMS and "<" not in name
    ]
    missing = [str(path) for path in [*linked, *quoted] if not path.exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_a_document_shows_exists(document: Path) -> None:
    blocks = "\n".join(re.findall(r"^(?: {4,}|`)(.*)$", document.read_text(), flags=re.MULTILINE))
    shown = set(re.findall(r"(?:^|[`\s])framewire ([a-z]+)\b", blocks))
    assert shown <= set(cli.list_commands(click.Context(cli)))


def test_every_error_code_is_documented() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    assert [code for code in ErrorCode if f"`{code}`" not in text] == []


def test_every_make_target_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert {"demo", "test"} <= named <= targets


def test_every_command_is_in_the_page_of_the_command_line() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    commands = cli.list_commands(click.Context(cli))
    assert [name for name in commands if f"| `framewire {name}" not in page] == []


def test_the_page_of_cut_silence_has_every_parameter_with_its_default() -> None:
    page = (ROOT / "docs" / "steps" / "cut_silence.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`)? ?\|", page, flags=re.MULTILINE))
    parameters = {each.name: each.default_value for each in get_step("cut_silence").parameters}
    assert {name: rows.get(name) for name in parameters} == parameters


def test_the_page_of_cut_silence_has_every_export() -> None:
    page = (ROOT / "docs" / "steps" / "cut_silence.md").read_text()
    assert [each.name for each in FORMATS.values() if f"| `{each.name}` | `{each.ending}` |" not in page] == []
