"""What a caller hands to a flow, checked against its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from alora_flow.errors import BadUsage, BadValue
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import FlowDecl, Parameter
from alora_flow.language.meaning.relations import is_data, is_lasting
from alora_flow.planning.evaluate import evaluate
from alora_flow.values.models import adapter, complaint


def check_inputs(flow: FlowDecl, given: Mapping[str, Any], complete: bool = True) -> dict[str, Any]:
    """Validated values, with defaults where nothing was given.

    `complete=False` (for a plan) lets parameters without a default stay out. Raises BadValue naming the flow, the
    parameter, what was expected and what came, and BadUsage for a flow that only other flows can call.
    """
    if complete:
        _check_runnable(flow)
    parameters = {parameter.name: parameter for parameter in flow.parameters}
    for name in given:
        if name not in parameters:
            close = get_close_matches(name, parameters, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"its inputs: {', '.join(parameters) or 'none'}"
            raise BadValue(f"flow '{flow.name}' has no input '{name}'", hint)
    values = {name: validate(flow, parameters[name], value) for name, value in given.items()}
    for name, parameter in parameters.items():
        if name in values:
            continue
        if parameter.default is not None:
            values[name] = validate(flow, parameter, evaluate(parameter.default, {}))
        elif complete:
            raise BadValue(
                f"flow '{flow.name}' needs input '{name}' ({parameter.type})",
                f"give --input {name}=… or --inputs FILE.json",
            )
    return values


def _check_runnable(flow: FlowDecl) -> None:
    """Threads and replies hold tokens of one run, and mean nothing outside of it."""
    if not is_lasting(flow.result):
        said = f"flow '{flow.name}' gives {flow.result}, which cannot leave a run: it is there for other flows to call"
        raise BadUsage(said, "run a flow that gives data, as in '.text' of a reply or '.chat' of a thread")
    for parameter in flow.parameters:
        if not is_lasting(parameter.type):
            raise BadUsage(
                f"flow '{flow.name}' takes {parameter.type} as '{parameter.name}', which cannot come from outside",
                "run a flow that calls it, or let it take a chat",
            )


def validate(flow: FlowDecl, parameter: Parameter, value: Any) -> Any:
    """One value, validated by pydantic. Raises BadValue."""
    try:
        return adapter(parameter.type).validate_python(value)
    except ValidationError as error:
        raise _mistyped(flow, parameter, value, error) from error


def parse_text(flow: FlowDecl, name: str, text: str) -> Any:
    """An input from the command line: a string as it is, an enum's member by its name or as data, all else as JSON.

    Where a string or a member is one of several things that it may be (`str?`), what is no JSON of the others is that.
    """
    parameter = next((parameter for parameter in flow.parameters if parameter.name == name), None)
    if parameter is None or isinstance(parameter.type, t.StrType):
        return text  # an unknown name is reported with the rest
    if not is_data(parameter.type):
        raise BadValue(f"input '{name}' of flow '{flow.name}' is {parameter.type}, which cannot be written as text")
    kinds = t.alternatives(parameter.type)
    for kind in kinds:
        if isinstance(kind, t.EnumType) and (text in kind.texts or text in kind.members):
            return text if text in kind.texts else kind.text(text)
    try:
        return adapter(parameter.type).validate_json(text)
    except ValidationError as error:
        if any(isinstance(kind, t.StrType) for kind in kinds) or isinstance(parameter.type, t.EnumType):
            return text
        raise _mistyped(flow, parameter, text, error) from error


def _mistyped(flow: FlowDecl, parameter: Parameter, value: Any, error: ValidationError) -> BadValue:
    wants = f"input '{parameter.name}' of flow '{flow.name}' wants {parameter.type}, got {value!r}"
    if error.errors()[0]["type"] == "json_invalid":
        return BadValue(f"{wants}, which is no JSON", f"write it as in '{parameter.name}={_example(parameter.type)}'")
    return BadValue(f"{wants}: {complaint(error)}")


def _example(type: t.Type) -> str:
    """A value of this type as JSON; of a record or a map, its form."""
    match type:
        case t.IntType(low=low):
            return str(2 if low is None else low)
        case t.FloatType(low=low):
            return str(0.5 if low is None else low)
        case t.BoolType():
            return "true"
        case t.ListType(element=element):
            return f"[{_example(element)}]"
        case t.OptionalType(inner=inner):
            return _example(inner)
        case t.StrType():
            return '"text"'
        case t.EnumType(texts=texts):
            return f'"{texts[0]}"'
    return "[{…}]" if isinstance(type, t.ChatType) else "{…}"
