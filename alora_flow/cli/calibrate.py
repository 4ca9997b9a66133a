"""`alora-flow calibrate`: where an intrinsic decides, fitted on labelled rows and written beside its adapter."""

from __future__ import annotations

from pathlib import Path

import click

from alora_flow.cli.options import OfSpec
from alora_flow.cli.progress import Counted
from alora_flow.training.calibrating import calibrate_temperature, calibrate_threshold
from alora_flow.training.evaluating import Kind, Split
from alora_flow.training.spec import read_spec

Folder = click.Path(path_type=Path, file_okay=False)


@click.command("calibrate", cls=OfSpec)
@click.argument("spec", metavar="SPEC.toml", type=click.Path(path_type=Path))
@click.option("--only", metavar="NAME", required=True, help="The intrinsic.")
@click.option(
    "--false-alarms", metavar="RATE", type=float, help="Fit a threshold: at most so many false alarms, as 0.05."
)
@click.option("--misses", metavar="RATE", type=float, help="Fit a threshold: at most so many misses.")
@click.option("--temperature", is_flag=True, help="Fit a temperature, so that probabilities say how often it is right.")
@click.option(
    "--alarm", metavar="ANSWER", help="The answer that is the alarm; by default the one with the larger number."
)
@click.option("--data", type=Folder, help="The folder of the rows, in the place of the spec's.")
@click.option("--library", type=Folder, help="The folder of the adapters, in the place of the spec's.")
@click.option(
    "--split", type=click.Choice(["validation", "test"]), default="validation", show_default=True, help="On which rows."
)
@click.option("--kind", type=click.Choice(["alora", "lora"]), help="Which adapter, in the place of the spec's.")
def command(
    spec: Path,
    only: str,
    false_alarms: float | None,
    misses: float | None,
    temperature: bool,
    alarm: str | None,
    data: Path | None,
    library: Path | None,
    split: Split,
    kind: Kind | None,
) -> None:
    """Fit where an intrinsic of SPEC.toml decides, and write calibration.yaml beside its adapter.

    A threshold says from which number on its result is true, and which of two answers is taken. A false alarm is the
    alarm where another answer is right, a miss another answer where the alarm is right.
    """
    if [false_alarms is None, misses is None, not temperature].count(False) != 1:
        raise click.UsageError("give one of --false-alarms, --misses and --temperature")
    if temperature and alarm is not None:
        raise click.UsageError("--alarm belongs to a threshold")
    read = read_spec(spec, data=data, library=library)
    with Counted("rows") as progress:
        if temperature:
            found = calibrate_temperature(read, only, split=split, kind=kind, progress=progress)
        elif false_alarms is not None:
            found = calibrate_threshold(
                read, only, "false alarms", false_alarms, alarm=alarm, split=split, kind=kind, progress=progress
            )
        else:
            assert misses is not None
            found = calibrate_threshold(
                read, only, "misses", misses, alarm=alarm, split=split, kind=kind, progress=progress
            )
    click.echo("\n".join([found.calibration.said, *found.lines]))
    if found.forgot:
        click.echo("the threshold that was there is forgotten: fit it again for these probabilities", err=True)
    click.echo(f"wrote {found.path}")
