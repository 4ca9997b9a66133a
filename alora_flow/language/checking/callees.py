"""Names of what can be called."""

from __future__ import annotations

from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.scope import kind_of
from alora_flow.language.checking.types import find_symbol, is_silent, written
from alora_flow.language.meaning.program import (
    Callee,
    FlowDecl,
    Intrinsic,
    ToolDecl,
)
from alora_flow.language.report.diagnostics import Note, did_you_mean
from alora_flow.language.syntax import nodes

CALLABLE = (Intrinsic, ToolDecl, FlowDecl)


def qualified(callee: nodes.Expression) -> nodes.Qualified | None:
    """`search`, `checks.search` as names."""
    match callee:
        case nodes.Name():
            return nodes.Qualified(callee.span, None, nodes.Identifier(callee.span, callee.text))
        case nodes.Access(target=nodes.Name() as target):
            return nodes.Qualified(callee.span, nodes.Identifier(target.span, target.text), callee.name)
    return None


def callee(checker: Checker, name: nodes.Qualified) -> Callee | None:
    """What `calls(…)` and `mock` name; reports what cannot be called."""
    if written(name) == "generate":
        return "generate"
    symbol = find_symbol(checker.unit, name)
    if isinstance(symbol, CALLABLE):
        return symbol
    if symbol is not None:
        note = Note("it is declared here", symbol.span)
        message = f"expected an intrinsic, a tool or a flow, and '{written(name)}' is {kind_of(symbol)}"
        checker.report.add("E0305", message, name.span, None, note)
    elif not is_silent(checker.unit, name):
        help = did_you_mean(written(name), ["generate", *checker.unit.names(*CALLABLE)])
        checker.report.add("E0302", f"unknown name '{written(name)}'", name.span, help)
    return None
