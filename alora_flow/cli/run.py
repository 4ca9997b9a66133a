"""`alora-flow run`: progress on stderr, the typed result on stdout, what it cost beside what was planned."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console
from rich.live import Live

from alora_flow.backends.table import Opener
from alora_flow.cli.files import find_flow_file
from alora_flow.cli.options import (
    backend_options,
    flow_arguments,
    input_options,
    model_option,
    no_pass_option,
    read_inputs,
    show_advice,
)
from alora_flow.cli.output import is_terminal, no_prints_on_stdout
from alora_flow.errors import BadInput, FlowError, text_of
from alora_flow.execution.events import Event, Listener, event_json
from alora_flow.execution.events import quiet as tell_nobody
from alora_flow.execution.trace import Trace
from alora_flow.module import Flow, Module, Result
from alora_flow.planning.advice import advise
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.schedule import Schedule
from alora_flow.views.progress import ProgressView
from alora_flow.views.result import failure_json, result_json, result_text, show_stats


@click.command("run")
@flow_arguments
@input_options
@model_option("Run on this model instead of the file's own.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print result (or error), statistics, calls and handled failures as one JSON object.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
@backend_options
@click.option("--cache-tokens", type=click.IntRange(min=1), help="How many tokens of KV the cache holds.")
@click.option("--seed", type=click.IntRange(min=0), help="Draw the same random numbers as a run with this seed.")
@no_pass_option
@click.option(
    "--trace",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write what happens to FILE as it happens, one JSON event a line.",
)
def command(
    file: str,
    flow: str | None,
    inputs: tuple[str, ...],
    inputs_file: Path | None,
    model: str | None,
    as_json: bool,
    quiet: bool,
    trace: Path | None,
    left_out: tuple[str, ...],
    backend: str,
    cache_tokens: int | None,
    seed: int | None,
) -> None:
    """Run FLOW of FILE: a path, or the name of a bundled flow such as safety_rag.flow."""
    opener = Opener(backend, cache_tokens)
    with no_prints_on_stdout():
        module = Module(Compilation(find_flow_file(file, tell=not quiet), model, left_out), opener, seed)
        chosen = module.flow(flow)
        schedule = chosen.prepare(read_inputs(chosen.declaration, inputs, inputs_file))
        if not quiet:
            show_advice([warning for warning in advise(schedule) if warning.code != "W0905"])  # the run refuses these
    with _told_as_json(chosen, as_json) as note, _log(trace) as write, no_prints_on_stdout():
        result = _run(chosen, schedule, _both(note, write), shown=is_terminal(sys.stderr) and not quiet)
    if as_json:
        click.echo(json.dumps(result_json(chosen.declaration, result), ensure_ascii=False, indent=2))
    else:
        shown = result_text(chosen.declaration, result.value, is_terminal(sys.stdout))
        click.echo(shown, color=True)  # click would take escape sequences out of what is piped
        if not quiet:
            show_stats(Console(stderr=True), result.trace)


def _run(flow: Flow, schedule: Schedule, write: Listener, shown: bool) -> Result[Any]:
    """Where it is `shown`, with a line for the running nodes, and what they write, while it works."""
    if not shown:
        return flow.perform([schedule], write)[0]
    view = ProgressView(flow.graph)
    with Live(view, console=Console(stderr=True), transient=True, refresh_per_second=12):
        return flow.perform([schedule], _both(view.tell, write), view.tell_text)[0]


def _both(one: Listener, other: Listener) -> Listener:
    def tell(event: Event) -> None:
        one(event)
        other(event)

    return tell


@contextmanager
def _told_as_json(flow: Flow, wanted: bool) -> Iterator[Listener]:
    """Prints what is known of a run that fails or is interrupted, where JSON is `wanted`."""
    events: list[Event] = []
    try:
        yield events.append
    except (FlowError, KeyboardInterrupt) as error:
        if wanted and events:
            said = text_of(error) if isinstance(error, FlowError) else "interrupted"
            found = failure_json(flow.declaration, Trace(tuple(events)), said)
            click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        raise


@contextmanager
def _log(path: Path | None) -> Iterator[Listener]:
    """Writes every event as it happens, so that the log of a run that fails or is killed is there up to that."""
    if path is None:
        yield tell_nobody
        return
    if not os.access(path if path.exists() else path.parent, os.W_OK) or path.is_dir():
        raise _unwritable(path, "it is a folder" if path.is_dir() else "it is not yours to write")
    with ExitStack() as opened:

        @cache
        def file() -> TextIO:  # a run that is refused leaves an earlier one's log as it is
            try:
                return opened.enter_context(path.open("w", encoding="utf-8"))
            except OSError as error:
                raise _unwritable(path, text_of(error)) from error

        def write(event: Event) -> None:
            file().write(f"{json.dumps(event_json(event), ensure_ascii=False)}\n")
            file().flush()

        yield write


def _unwritable(path: Path, why: str) -> BadInput:
    reason = why if path.parent.is_dir() else f"there is no folder {path.parent}"
    return BadInput(f"cannot write {path}: {reason}")
