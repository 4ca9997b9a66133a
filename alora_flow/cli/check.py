"""`alora-flow check FILE…`: everything that is wrong with flow files, before anything is loaded."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from alora_flow.language.checking.check import check_file
from alora_flow.language.report.diagnostics import Diagnostic
from alora_flow.language.report.render import render, render_summary


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print the diagnostics as a JSON list.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(as_json: bool, files: tuple[Path, ...]) -> None:
    """Check names, types and control flow of FILES. Loads no model, imports no tool, uses no network."""
    found = [item for file in dict.fromkeys(files) for item in check_file(file)[1]]
    if as_json:
        click.echo(json.dumps([item.as_json() for item in found], ensure_ascii=False, indent=2))
    else:
        _print(found, len(files))
    sys.exit(any(item.severity == "error" for item in found))


def _print(found: list[Diagnostic], files: int) -> None:
    if found:
        click.echo(render(found, color=wants_color()))
    checked = f"checked {files} file{'' if files == 1 else 's'}"
    click.echo(f"{checked}: {render_summary(found) or 'no errors'}", err=True)


def wants_color() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
