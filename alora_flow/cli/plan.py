"""`alora-flow plan`: what a run would compute and reuse, before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from alora_flow.cli.options import find_flow_file, input_options, no_pass_option, read_inputs, show_advice
from alora_flow.execution.inputs import check_inputs
from alora_flow.planning.advice import advise
from alora_flow.planning.budget import within_budgets
from alora_flow.planning.compilation import Compilation
from alora_flow.views.drawing import draw
from alora_flow.views.plan_json import plan_json
from alora_flow.views.plan_text import show_plan


@click.command("plan")
@click.argument("file")
@click.argument("flow", required=False)
@input_options
@click.option("--model", metavar="MODEL", help="Plan for this model instead of the file's own.")
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
    schedule = compilation.schedule(chosen, known)
    graph, plan = schedule.graph, within_budgets(schedule)
    show_advice(advise(schedule))
    if as_json:
        click.echo(json.dumps(plan_json(graph, plan, compilation.model.name), ensure_ascii=False, indent=2))
    else:
        show_plan(Console(highlight=False), draw(graph, compilation.doc(chosen)), plan)
