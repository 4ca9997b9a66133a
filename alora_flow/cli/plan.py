"""`alora-flow plan`: what a run would compute and reuse, before anything runs."""

from __future__ import annotations

from pathlib import Path

import click

from alora_flow.cli.files import find_flow_file
from alora_flow.cli.options import flow_arguments, input_options, model_option, no_pass_option, read_inputs, show_advice
from alora_flow.execution.inputs import check_inputs
from alora_flow.planning.advice import advise
from alora_flow.planning.compilation import Compilation
from alora_flow.views.table import VIEWS, Subject


@click.command("plan")
@flow_arguments
@input_options
@model_option("Plan for this model instead of the file's own.")
@click.option("--json", "as_json", is_flag=True, help="Print graph, calls and totals as one JSON object.")
@no_pass_option
def command(
    file: str,
    flow: str | None,
    inputs: tuple[str, ...],
    inputs_file: Path | None,
    model: str | None,
    as_json: bool,
    left_out: tuple[str, ...],
) -> None:
    """Show what FLOW of FILE would compute and reuse, before anything runs.

    Inputs that are not given have their defaults; without a default they stay unknown lengths.

    FILE is a path, or the name of a bundled flow such as safety_rag.flow. Reads the model's
    tokenizer and the adapters' configurations, no weights.
    """
    compilation = Compilation(find_flow_file(file), model, left_out)
    chosen = compilation.flow(flow)
    known = check_inputs(chosen, read_inputs(chosen, inputs, inputs_file), complete=False)
    subject = Subject(compilation, chosen, known)
    show_advice(advise(subject.schedule))
    click.echo(VIEWS["plan", "json" if as_json else "text"](subject), nl=False)
