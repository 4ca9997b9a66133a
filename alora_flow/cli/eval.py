"""`alora-flow eval`: how good the intrinsics of a spec are, or a flow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from alora_flow.backends.table import Opener
from alora_flow.cli.completion import complete_file, complete_flow, complete_input
from alora_flow.cli.files import find_flow_file
from alora_flow.cli.flow_rows import FlowRows, rows_of, run_rows
from alora_flow.cli.options import OfSpec, backend_options, model_option
from alora_flow.cli.output import no_prints_on_stdout
from alora_flow.cli.progress import Counted
from alora_flow.errors import BadInput
from alora_flow.intrinsics.whole_files import write_whole
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.training.evaluating import TRAIN_EXTRA, Evaluation, Kind, Split, evaluate
from alora_flow.training.measuring import measure
from alora_flow.training.metrics import Bin
from alora_flow.training.spec import read_spec
from alora_flow.views.evaluation import evaluation_json, evaluation_text, measured_json, tables
from alora_flow.views.intrinsic_card import intrinsic_card

Folder = click.Path(path_type=Path, file_okay=False)
SVG = click.option(
    "--svg",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the reliability diagram to FILE.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _WithDefault(click.Group):
    """`eval SPEC.toml` is `eval spec SPEC.toml`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["spec", *args]
        return super().parse_args(ctx, args)


@click.group(name="eval", cls=_WithDefault)
def command() -> None:
    """How good intrinsics or flows are, on labelled rows.

    `eval SPEC.toml` is short for `eval spec SPEC.toml`.
    """


@command.command("spec", cls=OfSpec)
@click.argument("spec", metavar="SPEC.toml", type=click.Path(path_type=Path))
@click.option("--only", metavar="NAME", multiple=True, help="Evaluate this intrinsic; may be given again.")
@click.option("--data", type=Folder, help="The folder of the rows, in the place of the spec's.")
@click.option("--library", type=Folder, help="The folder of the adapters, in the place of the spec's.")
@click.option(
    "--split", type=click.Choice(["test", "validation"]), default="test", show_default=True, help="Which rows."
)
@click.option("--kind", type=click.Choice(["alora", "lora"]), help="Which adapter, in the place of the spec's.")
@click.option("--peft", is_flag=True, help="Ask PEFT, too, with a full forward pass a row, and tell the difference.")
@click.option(
    "--card", is_flag=True, help="Write CARD.md, evaluation.json and reliability.svg into each adapter's folder."
)
@click.option("--uncalibrated", is_flag=True, help="As if there were no calibration.yaml.")
@JSON
@SVG
def spec(
    spec: Path,
    only: tuple[str, ...],
    data: Path | None,
    library: Path | None,
    split: Split,
    kind: Kind | None,
    peft: bool,
    card: bool,
    uncalibrated: bool,
    as_json: bool,
    svg: Path | None,
) -> None:
    """Measure the adapters of SPEC.toml on its test rows.

    Beside them: the majority rule, the bare base with the best of the spec's plain prompts, and the adapter of the
    other kind if the library has one.
    """
    read = read_spec(spec, data=data, library=library)
    for name in only:
        read.one(name)
    draw = _drawing() if svg is not None or card else None
    found = []
    with Counted("rows") as progress:
        for one in evaluate(
            read, only, split=split, kind=kind, peft=peft, calibrated=not uncalibrated, progress=progress
        ):
            found.append(one)
            if not as_json:
                progress.clear()
                click.echo(evaluation_text(one))
            if card:
                _write_card(draw, one)
    if as_json:
        click.echo(json.dumps([evaluation_json(one) for one in found], ensure_ascii=False, indent=2))
    if svg is not None:
        _draw(draw, svg, {one.name: one.own.reliability for one in found})


def _write_card(draw: Any, found: Evaluation) -> None:
    """Beside the adapter. Raises BadInput where nobody says how it was trained, or nobody can read it."""
    facts, measured = found.folder / "training.json", evaluation_json(found)
    if not facts.is_file():
        raise BadInput(f"{found.folder} has no training.json, which says how it was trained", "leave --card out")
    try:
        card = intrinsic_card(json.loads(facts.read_text(encoding="utf-8")), measured)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadInput(f"{facts} is damaged, or not of a training", "train it again, or leave --card out") from error
    del measured["folder"]
    try:
        write_whole(found.folder / "CARD.md", card)
        write_whole(found.folder / "evaluation.json", json.dumps(measured, indent=2) + "\n")
        if found.own.reliability:
            draw.draw_reliability(found.folder / "reliability.svg", {found.name: found.own.reliability})
    except OSError as error:
        raise BadInput(f"{found.folder} can't be written: {error.strerror}", "leave --card out") from error
    click.echo(f"wrote {found.folder / 'CARD.md'}", err=True)


@command.command("flow")
@click.argument("file", shell_complete=complete_file)
@click.argument("name", shell_complete=complete_flow)
@click.option(
    "--data", metavar="ROWS.jsonl", required=True, type=click.Path(path_type=Path), help="A JSON object a line."
)
@click.option("--column", required=True, help="What the flow's result is held against.")
@click.option(
    "--input",
    "inputs",
    metavar="NAME=COLUMN",
    multiple=True,
    shell_complete=complete_input,
    help="Which column an input is; by default the one of its name. messages.0.content is a part of one.",
)
@click.option(
    "--true", "truth", metavar="VALUE", help="What of the column is true, for a flow that gives a truth value."
)
@model_option("Run on this model instead of the file's own.")
@backend_options
@JSON
@SVG
def flow(
    file: str,
    name: str,
    data: Path,
    column: str,
    inputs: tuple[str, ...],
    truth: str | None,
    model: str | None,
    backend: str,
    as_json: bool,
    svg: Path | None,
) -> None:
    """Run the flow NAME of FILE on every row, and hold its result against a column.

    A row whose run fails counts as wrong. Rows may have a `source`, for figures of each, and a `group`.
    """
    draw = None if svg is None else _drawing()
    with no_prints_on_stdout():
        module = Module(Compilation(find_flow_file(file), model), Opener(backend), seed=0)
        rows = FlowRows(module.flow(name), data, rows_of(data), column, inputs, truth)
    with no_prints_on_stdout(), Counted("rows") as progress:
        results = run_rows(rows, progress)
    found = measure(results.chosen, rows.groups, rows.sources)
    if as_json:
        failed = [{"where": where, "error": text} for where, text in results.failed]
        click.echo(json.dumps({"flow": name, "failed": failed, **measured_json(found)}, ensure_ascii=False, indent=2))
    else:
        click.echo(f"{name} against '{column}': {found.rows} rows, figures with 95 % intervals\n")
        click.echo(tables({name: found}), nl=False)
        _tell_failures(results.failed)
    if svg is not None:
        _draw(draw, svg, {name: found.reliability})


MOST_FAILURES = 5


def _tell_failures(failed: Sequence[tuple[str, str]]) -> None:
    """The first of them, on stderr."""
    if failed:
        rows = "1 row failed, and counts" if len(failed) == 1 else f"{len(failed)} rows failed, and count"
        click.echo(f"\n{rows} as wrong:", err=True)
    for where, text in failed[:MOST_FAILURES]:
        click.echo(f"  {where}: {text}", err=True)
    if len(failed) > MOST_FAILURES:
        click.echo(f"  and {len(failed) - MOST_FAILURES} more; --json lists all", err=True)


def _drawing() -> Any:
    """What draws. Raises BadInput where matplotlib is not installed, before anything is computed."""
    try:
        return import_module("alora_flow.training.reliability_plot")
    except ModuleNotFoundError as error:
        raise BadInput(f"nothing can be drawn: {error.name} is not installed", TRAIN_EXTRA) from error


def _draw(draw: Any, path: Path, curves: Mapping[str, Sequence[Bin]]) -> None:
    drawn = {name: bins for name, bins in curves.items() if bins}
    if not drawn:
        raise BadInput("there is no reliability diagram: nothing that was measured is a probability", "leave --svg out")
    try:
        draw.draw_reliability(path, drawn)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from error
    click.echo(f"wrote {path}", err=True)
