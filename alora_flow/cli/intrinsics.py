"""`alora-flow intrinsics`: what libraries of adapters offer, and whether it can be used. Loads no weights."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from alora_flow.cli.completion import complete_path
from alora_flow.cli.files import find_flow_file
from alora_flow.cli.options import model_option
from alora_flow.errors import AdapterNotFound, BadAdapter, BadInput
from alora_flow.intrinsics.calibration import check_rules, read_calibration
from alora_flow.intrinsics.contract import resolve
from alora_flow.intrinsics.io_yaml import IoYaml, read_io_yaml
from alora_flow.intrinsics.library import ModelFiles, cached, find_adapter, find_model
from alora_flow.intrinsics.offers import Offer, offers_of
from alora_flow.intrinsics.shapes import shown
from alora_flow.planning.answer_form import published_grammar
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.offering import offering
from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import Prompter
from alora_flow.prompts.tokens import Tokenizer
from alora_flow.views.offerings import listing, offering_json, offering_text
from alora_runtime.adapters.config import read_adapter_config
from alora_runtime.adapters.header import check_weights
from alora_runtime.errors import AdapterError

MODEL = model_option("The base: only adapters for it, and what they cost on it.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Base:
    """A model that intrinsics are for; its tokenizer is read when it is needed."""

    def __init__(self, files: ModelFiles) -> None:
        self.files = files

    @cached_property
    def prompter(self) -> Prompter:
        tokenizer = Tokenizer(self.files.folder)
        return Prompter(tokenizer, ChatTemplate(self.files.folder, tokenizer.control, self.files.file))


def _base(model: str | None) -> Base | None:
    return None if model is None else Base(find_model(model, Path()))


@click.group(name="intrinsics")
def command() -> None:
    """Intrinsics of a library: list, show and check them."""


@command.command("list")
@click.argument("library", required=False, shell_complete=complete_path)
@MODEL
@JSON
def list_(library: str | None, model: str | None, as_json: bool) -> None:
    """List the intrinsics of LIBRARY: a folder, a hub id, or a flow file for the libraries of its model.

    Without one, those of --model, or of the bundled model.
    """
    offers, _ = _offers(library, model)
    rows = [_row(offer) for offer in offers]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        listing(Console(file=sys.stdout, highlight=False), rows)


@command.command()
@click.argument("name")
@model_option("The base that it shall run on.", default="mini", show_default=True)
@JSON
def show(name: str, model: str, as_json: bool) -> None:
    """Show what the intrinsic NAME takes, gives and costs on a base.

    NAME is an intrinsic of the model's library, or the folder of an adapter, or of an intrinsic in a library.
    """
    base = Base(find_model(model, Path()))
    folder = find_adapter(name, base.files, Path())
    short = _short_name(name, folder)
    found = offering(short, folder, _io_yaml(folder), base.prompter)
    said = offering_json(short, _reference(name, short, folder, base.files), base.files.name, found)
    if as_json:
        click.echo(json.dumps(said, ensure_ascii=False, indent=2))
    else:
        click.echo(offering_text(said, str(found.computes)), nl=False)


@command.command()
@click.argument("library", required=False, shell_complete=complete_path)
@MODEL
@JSON
def check(library: str | None, model: str | None, as_json: bool) -> None:
    """Check all that can be checked without a run: LIBRARY is a folder, a hub id, or a flow file.

    Of a library, every adapter's configuration, weights (names and shapes), io.yaml and calibration.yaml, and with
    --model whether it can be invoked on that base. Of a flow file, every intrinsic that it declares. Exit 1 where
    something is wrong.
    """
    problems = list(_declared(library, model)) if _is_flow(library) else list(_offered(*_offers(library, model)))
    wrong = [problem for problem in problems if problem["problem"]]
    if as_json:
        click.echo(json.dumps(problems, ensure_ascii=False, indent=2))
    else:
        for problem in wrong:
            click.echo(f"error: {problem['name']}: {problem['problem']}", err=True)
            if problem["help"]:
                click.echo(f"help: {problem['help']}", err=True)
        told = f"{len(wrong)} wrong" if wrong else "no errors"
        click.echo(f"checked {len(problems)} intrinsic{'s' * (len(problems) != 1)}: {told}")
    if wrong:
        sys.exit(1)


# ------------------------------------------------------------------- what is meant


def _is_flow(library: str | None) -> bool:
    return library is not None and (library == "-" or library.endswith(".flow"))


def _offers(library: str | None, model: str | None) -> tuple[list[Offer], Base | None]:
    base = _base(model)
    if library is not None and not _is_flow(library):
        return offers_of(_folder(library), None if base is None else base.files.name), base
    if library is not None:
        base = base or Base(Compilation(find_flow_file(library)).model)
    base = base or Base(find_model("mini", Path()))
    found = [o for place in base.files.libraries if place.is_dir() for o in offers_of(place, base.files.name)]
    if not found:
        places = " nor ".join(map(str, base.files.libraries))
        raise BadInput(f"there are no intrinsics for model '{base.files.name}': neither in {places}")
    return found, base


def _folder(library: str) -> Path:
    """Of a library that is named by its folder, or by its id in the local hub cache."""
    folder = Path(library)
    return folder if folder.is_dir() else cached(library) or folder


def _short_name(name: str, folder: Path) -> str:
    """The intrinsic's, where its adapter's folder stands for it."""
    parts = folder.resolve().parts
    technical = {"alora", "lora"} & set(parts[-2:])
    return (
        parts[-3] if technical and len(parts) > 2 and ("/" in name or name in (".", folder.name)) else name.rstrip("/")
    )


def _reference(name: str, short: str, folder: Path, model: ModelFiles) -> str:
    """By what a flow file on this model finds it, wherever that file lies."""
    own = any(folder.resolve().is_relative_to(library.resolve()) for library in model.libraries)
    with suppress(AdapterNotFound):
        if own and find_adapter(short, model, Path()).samefile(folder):
            return short
    return os.path.abspath(name) if Path(name).is_dir() else name


def _io_yaml(folder: Path) -> IoYaml | None:
    return read_io_yaml(folder) if (folder / "io.yaml").is_file() else None


def _row(offer: Offer) -> dict[str, Any]:
    row: dict[str, Any] = {"name": offer.name, "base": offer.base, "adapter": offer.technology}
    row |= {"folder": str(offer.folder), "arguments": [], "gives": None, "problem": None}
    try:
        io_yaml = _io_yaml(offer.folder)
    except BadAdapter as error:
        return {**row, "problem": error.message}
    if io_yaml is None:
        return row
    return {**row, "arguments": list(io_yaml.arguments), "gives": shown(io_yaml.shape)}


# ------------------------------------------------------------------------- checks


def _offered(offers: list[Offer], base: Base | None) -> Iterator[dict[str, Any]]:
    for offer in offers:
        entry = {"name": offer.name, "base": offer.base, "adapter": offer.technology, "folder": str(offer.folder)}
        try:
            _check_offer(offer, base)
        except BadInput as error:
            yield {**entry, "problem": error.message, "help": error.help}
        else:
            yield {**entry, "problem": None, "help": None}


def _check_offer(offer: Offer, base: Base | None) -> None:
    try:
        config = read_adapter_config(offer.folder)
        check_weights(config)
    except AdapterError as error:
        raise BadAdapter(error.message, error.help) from error
    if config.activated != (offer.technology == "alora"):
        what = "an activated adapter" if config.activated else "a plain LoRA"
        raise BadAdapter(
            f"{offer.folder} holds {what}", "move it, or mend alora_invocation_tokens in its configuration"
        )
    io_yaml, calibration = _io_yaml(offer.folder), read_calibration(offer.folder)
    if calibration is not None and io_yaml is not None:
        check_rules(calibration, offer.folder, io_yaml)
    if io_yaml is not None:
        published_grammar(io_yaml)
    if base is not None:
        offering(offer.name, offer.folder, io_yaml, base.prompter)


def _declared(file: str | None, model: str | None) -> Iterator[dict[str, Any]]:
    assert file is not None
    compilation = Compilation(find_flow_file(file), model)
    base = Base(compilation.model)
    for intrinsic in compilation.program.intrinsics.values():
        entry = {"name": intrinsic.name, "line": intrinsic.span.line}
        try:
            contract = resolve(intrinsic, base.files, base.prompter.tokenizer, compilation.folder)
            check_weights(contract.adapter)
            offering(contract.name, contract.adapter.folder, contract.io_yaml, base.prompter)
        except BadInput as error:
            yield {**entry, "problem": error.message, "help": error.help}
        except AdapterError as error:
            yield {**entry, "problem": error.message, "help": error.help}
        else:
            yield {**entry, "problem": None, "help": None}
