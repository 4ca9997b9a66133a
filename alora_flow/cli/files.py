"""Which flow files a command is given: paths, folders, `-`, names of bundled flows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from alora_flow.errors import BadInput
from alora_flow.language.checking import check
from alora_flow.language.checking.check import read
from alora_flow.language.report.diagnostics import Diagnostic
from alora_flow.language.report.source import Source
from alora_flow.planning import flow_file

STDIN = Path("-")


def flow_files(paths: Sequence[Path]) -> list[Path]:
    """Each file once, in order; for a folder all `*.flow` below it, sorted, but for those in hidden folders.

    Raises BadInput for a folder that has none.
    """
    return list(dict.fromkeys(file for path in paths for file in _below(path)))


def _below(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = [file for file in sorted(path.rglob("*.flow")) if not _hidden(file.relative_to(path))]
    if not found:
        raise BadInput(f"there are no flow files in {path}", "flow files end in .flow")
    yield from found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read_source(path: Path) -> tuple[Source, Diagnostic | None]:
    """A file's text, or that of standard input; an unreadable one gives a diagnostic."""
    return read(check.STDIN if path == STDIN else path)


def find_flow_file(text: str, tell: bool = True) -> Path:
    """As planning's, and `-` for standard input; `tell` says on stderr where a bundled flow lies."""
    if text == "-":
        return check.STDIN
    path, bundled = flow_file.find_flow_file(text)
    if bundled and tell:
        click.echo(f"bundled flow: {path}", err=True)
    return path
