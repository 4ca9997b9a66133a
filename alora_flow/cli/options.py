"""What `plan` and `run` share: finding the flow file, and the inputs that a caller gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import click

from alora_flow.backends.table import BACKENDS
from alora_flow.errors import BadInput
from alora_flow.execution.inputs import parse_text
from alora_flow.language.meaning.program import FlowDecl
from alora_flow.language.report.diagnostics import Diagnostic
from alora_flow.language.report.render import render
from alora_flow.planning.passes.table import PASSES

Command = TypeVar("Command", bound=Callable[..., Any])


# -------------------------------------------------------------------- flow files


def find_flow_file(text: str) -> Path:
    """The flow file: a path, else the name of a bundled flow (told on stderr), with or without `.flow`.

    Raises BadInput with the nearest name where there is none.
    """
    path = Path(text)
    if path.is_file():
        return path
    if path.is_dir():
        raise BadInput(f"{text} is a folder, not a flow file", _choice(path.glob("*.flow")))
    bundled = _bundled() if path.name == text else {}
    if text.removesuffix(".flow") in bundled:
        found = bundled[text.removesuffix(".flow")]
        click.echo(f"bundled flow: {found}", err=True)
        return found
    raise _not_found(path, bundled)


def _bundled() -> dict[str, Path]:
    """The flows that come with alora-flow, by name without `.flow`."""
    folder = Path(str(files("alora_flow.flows").joinpath("")))
    return {path.stem: path for path in sorted(folder.glob("*.flow"))}


def _choice(paths: Iterable[Path]) -> str | None:
    names = ", ".join(sorted(path.name for path in paths))
    return f"flow files in it: {names}" if names else None


def _not_found(path: Path, bundled: dict[str, Path]) -> BadInput:
    beside = {str(other): other for other in path.parent.glob("*.flow")} if path.parent.is_dir() else {}
    known = [*beside, *(found.name for found in bundled.values())]
    near = get_close_matches(str(path), known, n=1) or get_close_matches(f"{path}.flow", known, n=1)
    listed = f"bundled flows: {', '.join(found.name for found in bundled.values())}" if bundled else None
    return BadInput(f"there is no file {path}", f"did you mean '{near[0]}'?" if near else listed)


# ------------------------------------------------------------------------ inputs


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
        help="An input: text as it is, an enum's member by name, all else as JSON. Wins over --inputs.",
    )
    several = click.option(
        "--inputs",
        "inputs_file",
        metavar="FILE.json",
        type=click.Path(path_type=Path),
        help="A JSON object of inputs by name.",
    )
    return one(several(command))


def backend_options(command: Command) -> Command:
    """`--backend NAME` and its short form `--echo`, as `backend`."""
    name = click.option(
        "--backend",
        metavar="NAME",
        default="torch",
        show_default=True,
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
        content = json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_refuse)
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


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a name that stands twice in it is a mistake that JSON readers hide."""
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"'{name}' is given twice")
        content[name] = value
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def show_advice(warnings: Sequence[Diagnostic]) -> None:
    """Warnings of the plan, on stderr."""
    if warnings:
        click.echo(render(warnings), err=True)
