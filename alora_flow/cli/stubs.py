"""`alora-flow stubs FILE`: what a type checker wants to know of a flow file. Needs no model."""

from __future__ import annotations

from pathlib import Path

import click

from alora_flow.backends.table import Opener
from alora_flow.cli.completion import complete_file
from alora_flow.cli.files import find_flow_file
from alora_flow.errors import BadInput
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.views.stubs import stub_text


@click.command("stubs")
@click.argument("file", shell_complete=complete_file)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write to FILE; - is standard output.",
)
def command(file: str, output: Path | None) -> None:
    """Write FILE's enums, records and flows as Python's type checkers see them, to NAME_flow.pyi in this folder."""
    path = find_flow_file(file)
    text = stub_text(Module(Compilation(path), Opener("echo")))
    output = output or Path(f"{path.stem.strip('<>')}_flow.pyi")
    if str(output) == "-":
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {output}: {error.strerror}") from error
    click.echo(f"wrote {output}")
