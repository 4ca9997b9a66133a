"""`alora-flow graph`: a flow as a picture. Needs no model."""

from __future__ import annotations

from pathlib import Path

import click

from alora_flow.cli.files import find_flow_file
from alora_flow.cli.options import flow_arguments
from alora_flow.errors import BadInput
from alora_flow.planning.compilation import Compilation
from alora_flow.views.table import ENDINGS, VIEWS, Subject, format_of, formats

STDOUT = Path("-")
DRAWN = [form for form in formats("graph") if form != "text"]


@click.command("graph")
@flow_arguments
@click.option("--format", "form", type=click.Choice(DRAWN), help="By default what -o ends in, else mermaid.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), default=STDOUT, help="Write to FILE.")
@click.option("--unrolled", is_flag=True, help="Draw every round of every loop, not one box with its bound.")
def command(file: str, flow: str | None, form: str | None, output: Path, unrolled: bool) -> None:
    """Draw FLOW of FILE: a path, or the name of a bundled flow such as safety_rag.flow."""
    form = form or _format(output)
    compilation = Compilation(find_flow_file(file))
    text = VIEWS["graph", form](Subject(compilation, compilation.flow(flow), unrolled=unrolled))
    if output == STDOUT:
        click.echo(text, nl=False)
    else:
        _write(output, text)


def _format(output: Path) -> str:
    form = "mermaid" if output == STDOUT else format_of(output, "graph")
    if form is None:
        endings = ", ".join(ending for ending, known in ENDINGS.items() if known in DRAWN)
        raise click.UsageError(f"{output} ends in none of {endings}: give --format {'|'.join(DRAWN)}")
    return form


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from error
