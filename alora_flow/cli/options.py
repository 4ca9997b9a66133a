"""Arguments and options that several commands share, and the inputs that a caller gives by them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

from alora_flow.backends.table import BACKENDS
from alora_flow.cli.completion import among, complete_file, complete_flow, complete_input, complete_model
from alora_flow.cli.files import STDIN
from alora_flow.errors import BadInput
from alora_flow.execution.inputs import parse_text
from alora_flow.language.meaning.program import FlowDecl
from alora_flow.language.report.diagnostics import Diagnostic
from alora_flow.language.report.render import render
from alora_flow.planning.passes.table import PASSES
from alora_flow.values.json_text import read_json

Command = TypeVar("Command", bound=Callable[..., Any])


def flow_arguments(command: Command) -> Command:
    """`FILE [FLOW]`, as `file` and `flow`."""
    flow = click.argument("flow", required=False, shell_complete=complete_flow)
    return click.argument("file", shell_complete=complete_file)(flow(command))


def model_option(help: str, **settings: Any) -> Callable[[Command], Command]:
    """`--model MODEL`, as `model`."""
    return click.option("--model", metavar="MODEL", shell_complete=complete_model, help=help, **settings)


def _split(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value


def _checked(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Each `name=value`, no name twice."""
    names: set[str] = set()
    for text in given:
        name, _ = _split(text)
        if "=" not in text or not name.isidentifier():
            raise click.BadParameter(f"{text!r} is not of the form name=value", context, option)
        if name in names:
            raise click.BadParameter(f"'{name}' is given twice", context, option)
        names.add(name)
    return given


def input_options(command: Command) -> Command:
    """`--input name=value …` and `--inputs FILE.json`, as `inputs` and `inputs_file`."""
    one = click.option(
        "--input",
        "inputs",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_checked,
        shell_complete=complete_input,
        help="An input: text as it is, an enum's member by name, all else as JSON. Wins over --inputs.",
    )
    several = click.option(
        "--inputs",
        "inputs_file",
        metavar="FILE.json",
        type=click.Path(path_type=Path, allow_dash=True),
        help="A JSON object of inputs by name; - reads it from standard input.",
    )
    return one(several(command))


def backend_options(command: Command) -> Command:
    """`--backend NAME` and its short form `--echo`, as `backend`."""
    name = click.option(
        "--backend",
        metavar="NAME",
        default="torch",
        show_default=True,
        shell_complete=among(BACKENDS),
        help=f"What to run on: {', '.join(BACKENDS)}, or package.module:factory.",
    )
    echo = click.option(
        "--echo",
        "backend",
        flag_value="echo",
        help="Run on no model: calls echo, choices take the first; tokens are counted.",
    )
    return name(echo(command))


def no_pass_option(command: Command) -> Command:
    """`--no-pass NAME …`, as `left_out`."""
    about = "; ".join(f"{each.name} ({each.about})" for each in PASSES)
    return click.option(
        "--no-pass",
        "left_out",
        metavar="NAME",
        multiple=True,
        callback=_pass_names,
        shell_complete=among(each.name for each in PASSES),
        help=f"Leave out a pass of the compiler: {about}.",
    )(command)


def _pass_names(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    names = [each.name for each in PASSES]
    for name in given:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"the passes: {', '.join(names)}"
            raise click.BadParameter(f"there is no pass '{name}'; {hint}", context, option)
    return given


def read_inputs(flow: FlowDecl, inputs: tuple[str, ...], inputs_file: Path | None) -> dict[str, Any]:
    """What the options give, by name; not yet checked against the flow's parameters.

    Raises BadInput for a file that is not a JSON object, BadValue for a text that does not fit its parameter.
    """
    given = {} if inputs_file is None else _read_object(inputs_file)
    return given | {name: parse_text(flow, name, value) for name, value in map(_split, inputs)}


def _read_object(path: Path) -> dict[str, Any]:
    try:
        read = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
        path = Path("<stdin>") if path == STDIN else path
        if not read.strip():
            raise BadInput(f"{path} is empty", 'write {"name": value, …}')
        content = read_json(read.decode("utf-8-sig"))
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise BadInput(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 at byte {error.start}", "JSON files are UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise BadInput(
            f"{path} holds {_KINDS[type(content)]}, not an object of inputs by name", 'write {"name": value, …}'
        )
    return content


_KINDS = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


class OfSpec(click.Command):
    """A command on a spec. People name an intrinsic behind it, and are told of the option that does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if error.message.startswith("Got unexpected extra argument"):
                raise click.UsageError(f"{error.message}; name an intrinsic by --only NAME", error.ctx) from error
            raise


def show_advice(warnings: Sequence[Diagnostic]) -> None:
    """Warnings of the plan, on stderr."""
    if warnings:
        click.echo(render(warnings), err=True)
