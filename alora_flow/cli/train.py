"""`alora-flow train`: adapters from labelled rows."""

from __future__ import annotations

import json
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from alora_flow.cli.options import OfSpec
from alora_flow.errors import BadUsage

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    TextColumn("{task.completed}/{task.total} {task.fields[unit]}"),
    TimeElapsedColumn(),
    TimeRemainingColumn(),
    TextColumn("{task.fields[said]}"),
)

Folder = click.Path(path_type=Path, file_okay=False)


def part(name: str) -> Any:
    """A module of `training`, which needs torch and what the extra brings. Raises BadUsage where that is missing."""
    try:
        return import_module(f"alora_flow.training.{name}")
    except ModuleNotFoundError as error:
        if error.name not in ("peft", "matplotlib"):
            raise
        raise BadUsage(f"training needs {error.name}", "pip install 'alora-flow[train]'") from error


@click.command("train", cls=OfSpec)
@click.argument("spec", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--only", metavar="NAME", multiple=True, help="Train this intrinsic; may be given several times.")
@click.option("--data", type=Folder, help="The folder of the rows, instead of the spec's.")
@click.option("--library", type=Folder, help="Where adapters are written, instead of the spec's.")
@click.option("--kind", type=click.Choice(["alora", "lora"]), help="Train this kind of adapter instead of the spec's.")
@click.option("--rows", type=click.IntRange(min=1), help="Use so many training rows, drawn by the seed.")
@click.option("--epochs", type=click.IntRange(min=1), help="Go through the rows so many times.")
@click.option("--rank", type=click.IntRange(min=1), help="The adapters' rank.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the first weights, and of the rows' order.")
@click.option(
    "--memory",
    type=click.FloatRange(min=0),
    default=4.0,
    show_default=True,
    help="GB of kept contexts in memory; more lie in a file.",
)
@click.option("--again", is_flag=True, help="Train adapters anew that are there already or were begun.")
@click.option("--json", "as_json", is_flag=True, help="Print what was trained as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
def command(
    spec: Path,
    only: tuple[str, ...],
    data: Path | None,
    library: Path | None,
    memory: float,
    again: bool,
    as_json: bool,
    quiet: bool,
    **changed: object,
) -> None:
    """Train the intrinsics of SPEC, a TOML file, and write them as a library.

    A training that was interrupted or killed goes on where it was when the same command is given again.
    """
    if not isfinite(memory):
        raise BadUsage(f"--memory is a number of GB, not {memory}")
    training, read = part("training"), part("spec").read_spec(spec, data=data, library=library, **changed)
    console = Console(stderr=True)
    with Progress(*COLUMNS, console=console, disable=quiet or not console.is_terminal) as bar:
        told = Teller(bar, console, lines=not quiet and not console.is_terminal)
        trained = training.train(read, only, again=again, memory=int(memory * (1 << 30)), told=told)
    if as_json:
        rows = [{"name": one.name, "folder": str(one.folder), **one.facts} for one in trained]
        click.echo(json.dumps(rows, indent=2))
        return
    for one in trained:
        facts = one.facts
        error = f", {100 * facts['validation_error']:.1f} % wrong"
        click.echo(
            f"{one.name}: {one.folder}\n  loss {facts['validation_loss']:.4f}{error} on {facts['rows']['validation']} "
            f"validation rows, after {facts['best_step']} of {facts['steps']} steps, {facts['minutes']} minutes"
        )


class Teller:
    """Shows where a training stands: bars on a terminal, elsewhere a line for each look at the validation rows."""

    def __init__(self, bar: Progress, console: Console, lines: bool) -> None:
        self._bar, self._console, self._lines = bar, console, lines
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, name: str, **facts: Any) -> None:
        description, unit = (name, "steps") if name else ("reading contexts", "tokens")
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(description, total=facts["of"], unit=unit, said="")
        self._bar.update(self._tasks[name], completed=facts.get("step", facts.get("tokens")))
        for key in ("loss", "validation"):
            if key in facts:
                self._bar.update(self._tasks[name], said=f"{key} {facts[key]:.3f}")
        if self._lines and "validation" in facts:
            error = f", {100 * facts['error']:.1f} % wrong"
            self._console.print(
                f"{name}: step {facts['step']}/{facts['of']}, validation loss {facts['validation']:.4f}{error}"
            )
