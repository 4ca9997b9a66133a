"""`alora-flow check FILE…`: everything that is wrong with flow files, before anything is loaded."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from alora_flow.cli.files import flow_files, read_source
from alora_flow.cli.output import is_terminal
from alora_flow.language.checking.check import check
from alora_flow.language.report.diagnostics import Diagnostic
from alora_flow.language.report.render import render, render_summary


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print the diagnostics as a JSON list.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
def command(as_json: bool, files: tuple[Path, ...]) -> None:
    """Check names, types and control flow of FILES. Loads no model, imports no tool, uses no network.

    A folder stands for all *.flow files below it, - for standard input.
    """
    every = flow_files(files)
    found = [item for file in every for item in _diagnostics(file)]
    if as_json:
        click.echo(json.dumps([item.as_json() for item in found], ensure_ascii=False, indent=2))
    else:
        _print(found, len(every))
    sys.exit(any(item.severity == "error" for item in found))


def _diagnostics(file: Path) -> tuple[Diagnostic, ...]:
    source, problem = read_source(file)
    return (problem,) if problem else check(source)[1]


def _print(found: list[Diagnostic], files: int) -> None:
    if found:
        click.echo(render(found, color=wants_color()))
    checked = f"checked {files} file{'' if files == 1 else 's'}"
    click.echo(f"{checked}: {render_summary(found) or 'no errors'}", err=True)


def wants_color() -> bool:
    return is_terminal(sys.stdout) and not os.environ.get("NO_COLOR")
