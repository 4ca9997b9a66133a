"""`mini`: train the bundled model from scratch, measure it, print its card. Torch is imported only when needed."""

from __future__ import annotations

import json
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

import click

from alora_flow.cli.train import part as training_part
from alora_flow.errors import BadInput, BadUsage
from alora_flow.mini import WEIGHTS

Folder = click.Path(path_type=Path, file_okay=False)


def part(name: str) -> Any:
    """A module of alora_flow, imported when it is needed and not before: training imports torch."""
    return import_module(f"alora_flow.{name}")


@click.group(name="mini")
def command() -> None:
    """The bundled model: its recipe and its figures."""


@command.command()
@click.option("--out", required=True, type=Folder, help="Where to write the model; an unfinished run there continues.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the data and of the weights."
)
@click.option(
    "--tokens", type=click.IntRange(min=1), default=20_000_000, show_default=True, help="Tokens to train the base on."
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Train the base for so long instead of for so many tokens.",
)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="CPU threads.")
def train(out: Path, seed: int, tokens: int, minutes: float | None, threads: int) -> None:
    """Train the base and the six adapters, measure them and write the card."""
    if minutes is not None and not isfinite(minutes):
        raise BadUsage(f"--minutes is a number of minutes, not {minutes}")
    training_part("training")  # says what to install where that is missing
    plan = part("mini.recipe.base").BasePlan(seed=seed, tokens=tokens, minutes=minutes, threads=threads)
    results = part("mini.recipe.recipe").run(out, plan)
    click.echo(part("mini.recipe.card").render(results))


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True), default=WEIGHTS)
@click.option(
    "--count", type=click.IntRange(min=1), default=400, show_default=True, help="Held-out samples for each figure."
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def evaluate(folder: Path, count: int, as_json: bool) -> None:
    """Measure a trained folder on held-out names and requests (the shipped one by default)."""
    for name in ("base", "intrinsics"):
        if not (folder / name).is_dir():
            raise BadInput(
                f"{folder} holds no bundled model: it has no {name}", "give the folder that `mini train` wrote"
            )
    figures = part("mini.recipe.evaluation").evaluate(folder, count)
    card = part("mini.recipe.card")
    tables = [card.base_table(figures["base"]), card.adapter_table(figures["intrinsics"])]
    tables.append(card.certainty_table(figures["intrinsics"]["uncertainty"]))
    click.echo(json.dumps(figures, indent=2) if as_json else "\n".join(tables))


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True), default=WEIGHTS)
def card(folder: Path) -> None:
    """Print the model card from a folder's results.json."""
    results = folder / "results.json"
    try:
        text = part("mini.recipe.card").render(json.loads(results.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadInput(f"{results} can't be read: {error.strerror}", "the recipe writes it when it is done") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadInput(f"{results} is damaged, or not of this recipe", "train the model anew: mini train") from error
    click.echo(text)


@command.command()
@click.argument("folders", type=click.Path(path_type=Path, file_okay=False, exists=True), nargs=-1, required=True)
@click.option("--out", required=True, type=Folder, help="Where to write the best of them.")
def ship(folders: tuple[Path, ...], out: Path) -> None:
    """Write the best of several seeds of one recipe, with the figures of all on its card."""
    click.echo(part("mini.recipe.card").render(part("mini.recipe.shipping").ship(folders, out)))
