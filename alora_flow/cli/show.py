"""`alora-flow show`: a flow file at any stage on its way from text to plan."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import click

from alora_flow.cli.completion import among
from alora_flow.cli.files import find_flow_file
from alora_flow.cli.options import flow_arguments, input_options, model_option, no_pass_option, read_inputs
from alora_flow.execution.inputs import check_inputs
from alora_flow.planning.compilation import Compilation
from alora_flow.views.table import VIEWS, Subject, formats, stages


def _stage(context: click.Context, option: click.Parameter, given: str) -> str:
    if given not in stages():
        close = get_close_matches(given, stages(), n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"stages: {', '.join(stages())}"
        raise click.BadParameter(f"there is no stage '{given}'; {hint}", context, option)
    return given


@click.command("show")
@click.argument("stage", callback=_stage, shell_complete=among(stages()))
@flow_arguments
@input_options
@model_option("Plan for this model instead of the file's own.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, where the stage has that form.")
@no_pass_option
def command(
    stage: str,
    file: str,
    flow: str | None,
    inputs: tuple[str, ...],
    inputs_file: Path | None,
    model: str | None,
    as_json: bool,
    left_out: tuple[str, ...],
) -> None:
    """Show FILE at a STAGE: tokens, tree, program, graph, schedule or plan.

    The first four need no model. FLOW names a flow of the file, by default its main one.
    """
    form = "json" if as_json else "text"
    if (stage, form) not in VIEWS:
        raise click.UsageError(f"'{stage}' has no JSON form; it has {', '.join(formats(stage))}")
    compilation = Compilation(find_flow_file(file), model, left_out)
    subject = Subject(compilation)
    if stage not in ("tokens", "tree", "program"):
        chosen = compilation.flow(flow)
        known = check_inputs(chosen, read_inputs(chosen, inputs, inputs_file), complete=False)
        subject = Subject(compilation, chosen, known)
    click.echo(VIEWS[stage, form](subject), nl=False)
