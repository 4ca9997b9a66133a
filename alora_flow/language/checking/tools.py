"""Tools: which Python function, under which settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from alora_flow.language.checking.arguments import settings
from alora_flow.language.checking.scope import Scope, Unit
from alora_flow.language.checking.types import resolve_data
from alora_flow.language.checking.values import reader
from alora_flow.language.meaning import program
from alora_flow.language.meaning.folding import constant_text, fold
from alora_flow.language.meaning.settings import TOOL
from alora_flow.language.meaning.types import NONE, Type
from alora_flow.language.report.source import Span
from alora_flow.language.syntax import nodes

Head = tuple[str, str, str, Span]
FUNCTION_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def tool(unit: Unit, node: nodes.Tool, head: Head, parameters: tuple[program.Parameter, ...]) -> program.ToolDecl:
    result = resolve_data(unit, node.result, "the result of a tool") if node.result else NONE
    if node.host.text != "python":
        unit.report.add("E0209", f"tools are 'python', found '{node.host.text}'", node.host.span)
    if not FUNCTION_NAME.fullmatch(node.function.text):
        help = 'write "module:function"'
        unit.report.add("E0209", f"'{node.function.text}' names no Python function", node.function.span, help)
    given = _tool_settings(unit, node, result)
    return program.ToolDecl(
        *head,
        parameters,
        result,
        node.function.text,
        pure=_literal(given, "pure", False),
        timeout=_literal(given, "timeout", None),
        retry=_literal(given, "retry", 0),
        backoff=_literal(given, "backoff", 0.0),
        fallback=given.get("fallback"),
        invoke=_invoke(unit, given.get("invoke")),
    )


def _tool_settings(unit: Unit, node: nodes.Tool, result: Type) -> dict[str, program.Expression]:
    if node.settings is None:
        return {}
    table = {**TOOL, "fallback": result}
    found = {}
    for item in settings(reader(Scope(unit)), node.settings.arguments, table, "a tool"):
        folded = fold(item.value)
        if folded is None:
            unit.report.add("E0208", f"'{item.name}' must be a constant", item.value.span)
        else:
            found[item.name] = folded
    return found


def _invoke(unit: Unit, given: program.Expression | None) -> str | None:
    text = None if given is None else constant_text(given)
    if given is not None and text == "":
        help = "leave it out where the model's chat template has a form for calls of tools"
        unit.report.add("E0205", "nothing invokes it: this string is empty", given.span, help)
    return text


def _literal(given: Mapping[str, program.Expression], name: str, default: Any) -> Any:
    found = given.get(name)
    return found.value if isinstance(found, program.Literal) else default
