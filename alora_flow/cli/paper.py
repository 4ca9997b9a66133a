"""`alora-flow paper`: the tables of the Activated LoRA paper on a base of one's own."""

from __future__ import annotations

import json
from os import W_OK, access
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from alora_flow.cli.train import COLUMNS, Folder, Teller, part
from alora_flow.errors import BadInput
from alora_flow.intrinsics.whole_files import write_whole

TABLES = ("figure3", "figure4", "rank", "targets", "invocation", "activation", "rows")
INTRINSICS = ("safety", "hallucination", "uncertainty")


@click.command("paper")
@click.option(
    "--data", required=True, type=Folder, help="The folder of the rows: safety/, hallucination/, uncertainty/."
)
@click.option("--model", help="The base, instead of the specification's.")
@click.option(
    "--spec",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A specification of the three intrinsics, instead of the one for ChatML models.",
)
@click.option("--only", metavar="TABLE", type=click.Choice(TABLES), multiple=True, help=f"One of {', '.join(TABLES)}.")
@click.option(
    "--intrinsic",
    metavar="NAME",
    type=click.Choice(INTRINSICS),
    multiple=True,
    help=f"One of {', '.join(INTRINSICS)}.",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="So many trainings of each line."
)
@click.option("--rows", type=click.IntRange(min=4), help="Training rows of every intrinsic.")
@click.option("--epochs", type=click.IntRange(min=1), help="Go through the rows so many times.")
@click.option("--tests", type=click.IntRange(min=2), default=400, show_default=True, help="Test rows, at most.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Train in so many processes, a thread each.",
)
@click.option(
    "--work", type=Folder, default=Path("paper"), show_default=True, help="Where adapters and answers are kept."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("docs/results.md"),
    show_default=True,
    help="Where the tables are written.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON, too.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
def command(
    data: Path,
    model: str | None,
    spec: Path | None,
    only: tuple[str, ...],
    intrinsic: tuple[str, ...],
    seeds: int,
    rows: int | None,
    epochs: int | None,
    tests: int,
    jobs: int,
    work: Path,
    out: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train what the paper's tables compare, measure it and write the tables.

    Plain and activated LoRA, answers of one token and of several, ranks, targets, invocations, where an adapter begins,
    and the number of rows. What was trained before is not trained again: a run that was interrupted goes on.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out} can't be written: {error.strerror}", "give another file: --out FILE") from error
    if not access(out if out.exists() else out.parent, W_OK):
        raise BadInput(f"{out} can't be written", "give another file: --out FILE")
    console = Console(stderr=True)
    with Progress(*COLUMNS, console=console, disable=quiet or not console.is_terminal) as bar:
        told = Teller(bar, console, lines=not quiet and not console.is_terminal)
        module, results = part("paper.study"), part("paper.results")
        read = module.read_study_spec(data, model, spec, rows=rows, epochs=epochs)
        made = module.Study(read, work, tests, told, jobs=jobs).tables(
            only or TABLES, range(seeds), intrinsic or INTRINSICS
        )
    given = {"--model": read.base, "--rows": rows, "--epochs": epochs, "--seeds": seeds, "--tests": tests}
    options = [f"{name} {value}" for name, value in given.items() if value is not None]
    options += [*(f"--only {name}" for name in only), *(f"--intrinsic {name}" for name in intrinsic)]
    command = " ".join(["alora-flow paper --data DIR", *options])
    write_whole(out, results.report(made, read, seeds, command))
    if as_json:
        click.echo(json.dumps(results.as_json(made), indent=2))
    else:
        click.echo(f"wrote {out}")
