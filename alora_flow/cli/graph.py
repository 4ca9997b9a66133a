"""`alora-flow graph`: a flow as a picture. Needs no model."""

from __future__ import annotations

from pathlib import Path

import click

from alora_flow.cli.options import find_flow_file
from alora_flow.errors import BadInput
from alora_flow.planning.compilation import Compilation
from alora_flow.views.formats import FORMATS, format_of, render

STDOUT = Path("-")


@click.command("graph")
@click.argument("file")
@click.argument("flow", required=False)
@click.option("--format", "form", type=click.Choice(list(FORMATS)), help="By default what -o ends in, else mermaid.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), default=STDOUT, help="Write to FILE.")
def command(file: str, flow: str | None, form: str | None, output: Path) -> None:
    """Draw FLOW of FILE: a path, or the name of a bundled flow such as safety_rag.flow."""
    form = form or _format(output)
    compilation = Compilation(find_flow_file(file))
    chosen = compilation.flow(flow)
    text = render(compilation.graph(chosen), form, compilation.doc(chosen))
    if output == STDOUT:
        click.echo(text, nl=False)
    else:
        _write(output, text)


def _format(output: Path) -> str:
    form = "mermaid" if output == STDOUT else format_of(output)
    if form is None:
        endings = ", ".join(suffix for known in FORMATS.values() for suffix in known.suffixes)
        raise click.UsageError(f"{output} ends in none of {endings}: give --format {'|'.join(FORMATS)}")
    return form


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from error
