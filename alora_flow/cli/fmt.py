"""`alora-flow fmt FILE…`: flow files in their canonical form."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path

import click

from alora_flow.cli.check import wants_color
from alora_flow.cli.files import STDIN, flow_files, read_source
from alora_flow.errors import BadInput
from alora_flow.language.printing.file import format_source
from alora_flow.language.report.diagnostics import Diagnostic, FlowErrors
from alora_flow.language.report.render import render


@click.command("fmt")
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 1 when a file is not canonical.")
@click.option("--diff", "only_diff", is_flag=True, help="Change nothing; print what would change.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
def command(only_check: bool, only_diff: bool, files: tuple[Path, ...]) -> None:
    """Write FILES in canonical form. Comments and groups of lines stay; what a file means never changes.

    A folder stands for all *.flow files below it; - reads standard input and writes to standard output.
    """
    changed: list[Path] = []
    wrong: list[Diagnostic] = []
    for file in flow_files(files):
        before, after, found = _formatted(file)
        wrong += found
        if file == STDIN and not (found or only_check or only_diff):
            click.echo(after, nl=False)
            continue
        if before == after:
            continue
        changed.append(file)
        if only_diff:
            click.echo(_diff(file, before, after), nl=False)
        if not (only_check or only_diff):
            _replace(file, after)
    if wrong:
        click.echo(render(wrong, color=wants_color()))
        click.echo("files that cannot be read are left as they are", err=True)
    for file in changed:
        click.echo(f"{'would change' if only_check or only_diff else 'changed'} {file}", err=True)
    sys.exit(bool(wrong) or (bool(changed) and (only_check or only_diff)))


def _formatted(file: Path) -> tuple[str, str, tuple[Diagnostic, ...]]:
    """Text before and after; equal where something is wrong."""
    source, problem = read_source(file)
    if problem is not None:
        return "", "", (problem,)
    try:
        return source.text, format_source(source.text, source.path), ()
    except FlowErrors as errors:
        return "", "", errors.diagnostics


def _diff(file: Path, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"{file}", f"{file} (canonical)"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ no newline at the end\n" for line in lines)


def _replace(file: Path, text: str) -> None:
    """In one step, so that an interrupted run leaves the old file; permissions stay."""
    target = file.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        temporary.chmod(target.stat().st_mode & 0o7777)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BadInput(f"cannot write '{file}': {(error.strerror or str(error)).lower()}") from error
