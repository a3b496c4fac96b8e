"""`framewire doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.text import Text

from framewire.cli.checks import Finding, Verdict, examine
from framewire.cli.options import data_option, json_option
from framewire.cli.screen import Screen
from framewire.errors import ErrorCode, LocalError
from framewire.stack.settings import default_data_folder

_STYLES = {Verdict.OK: "green", Verdict.NOTE: "dim", Verdict.WARNING: "yellow", Verdict.MISSING: "red"}


@click.command("doctor")
@data_option
@json_option
def command(data: Path | None, as_json: bool) -> None:
    """Check whether this machine can run the local stack; say what is missing and how to get it.

    Fails when something is missing. Starts nothing and changes nothing.
    """
    screen = Screen(as_json=as_json)
    findings = examine(data or default_data_folder())
    for finding in findings:
        screen.show(_words(finding), {"check": asdict(finding)})
    missing = [finding.name for finding in findings if finding.verdict is Verdict.MISSING]
    if missing:
        raise LocalError(f"missing: {', '.join(missing)}", code=ErrorCode.TOOL_MISSING)


def _words(finding: Finding) -> Text:
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    style = _STYLES[finding.verdict]
    return Text.assemble((f"{finding.verdict:<8}", style), f"{finding.name:<14} {finding.words}{remedy}")
