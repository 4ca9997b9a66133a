"""`alora-flow run`: progress on stderr, the typed result on stdout, what it cost beside what was planned."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from alora_flow.cli.options import find_flow_file, input_options, no_pass_option, read_inputs, show_advice
from alora_flow.errors import BadInput
from alora_flow.module import Flow, Module, Result
from alora_flow.planning.advice import advise
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.schedule import Schedule
from alora_flow.views.progress import ProgressView
from alora_flow.views.result import result_json, show_result, show_stats, trace_json


@click.command("run")
@click.argument("file")
@click.argument("flow", required=False)
@input_options
@click.option("--model", metavar="MODEL", help="Run on this model instead of the file's own.")
@click.option("--json", "as_json", is_flag=True, help="Print result, statistics and nodes as one JSON object.")
@no_pass_option
@click.option("--trace", metavar="FILE", type=click.Path(path_type=Path), help="Write what every node did, as JSON.")
def command(
    file: str,
    flow: str | None,
    inputs: tuple[str, ...],
    inputs_file: Path | None,
    model: str | None,
    as_json: bool,
    trace: Path | None,
    left_out: tuple[str, ...],
) -> None:
    """Run FLOW of FILE: a path, or the name of a bundled flow such as safety_rag.flow."""
    module = Module(Compilation(find_flow_file(file), model, left_out))
    chosen = module.flow(flow)
    if trace is not None and not trace.parent.is_dir():
        raise BadInput(f"cannot write {trace}: there is no folder {trace.parent}")
    schedule = chosen.prepare(read_inputs(chosen.declaration, inputs, inputs_file))
    show_advice(advise(schedule))
    result = _run(chosen, schedule)
    if trace is not None:
        _write(trace, trace_json(result.trace))
    if as_json:
        click.echo(json.dumps(result_json(chosen.declaration, result), ensure_ascii=False, indent=2))
    else:
        show_result(Console(), chosen.declaration, result)
        show_stats(Console(stderr=True), result.trace)


def _run(flow: Flow, schedule: Schedule) -> Result:
    """With a line for the running nodes while it works; silent where stderr is no terminal."""
    if not sys.stderr.isatty():
        return flow.perform([schedule])[0]
    view = ProgressView(flow.graph)
    with Live(view, console=Console(stderr=True), transient=True, refresh_per_second=12):
        return flow.perform([schedule], view.tell)[0]


def _write(path: Path, content: object) -> None:
    try:
        path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from error
