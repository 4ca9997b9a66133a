"""An `expect` that did not hold, and what its parts were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from alora_flow.errors import RunFailed
from alora_flow.language.meaning import program as p
from alora_flow.language.meaning.program import Expression
from alora_flow.language.report.source import Span
from alora_flow.planning.evaluate import Values, evaluate
from alora_flow.planning.graph.nodes import Condition, FlowGraph, NodeValue


class ExpectationFailed(RunFailed):
    """A test failed. `values` are (source text, value) of the parts of the condition."""

    def __init__(self, span: Span, values: list[tuple[str, Any]]) -> None:
        super().__init__(f"line {span.line}: {span.text}")
        self.span = span
        self.values = values


def explain(graph: FlowGraph, condition: Expression, values: Values) -> list[tuple[str, Any]]:
    """The parts of a condition that were worked out, each before its own parts: all that stands beside an operator or
    in a call, constants left out. What was not reached, as behind an `and`, may have no value and is not read."""
    shown: dict[str, Any] = {}
    for part in _operands(_opened(graph, condition), values):
        shown.setdefault(" ".join(part.span.text.split()), evaluate(part, values))
    return list(shown.items())


def _opened(graph: FlowGraph, condition: Expression) -> Expression:
    """With the left sides of `and` and `or` that are nodes of their own, since they guard calls on the right."""
    if isinstance(condition, p.Binary) and condition.operator in ("and", "or"):
        left, right = (_opened(graph, side) for side in (condition.left, condition.right))
        return replace(condition, left=left, right=right)
    operation = graph.nodes[condition.node].operation if isinstance(condition, NodeValue) else None
    return _opened(graph, operation.expression) if isinstance(operation, Condition) else condition


def _operands(condition: Expression, values: Values) -> Iterator[Expression]:
    """Those of its comparisons, and what they are made of; the condition itself where it compares nothing."""
    match condition:
        case p.Binary(operator="and" | "or"):
            for part in _reached(condition, values):
                yield from _operands(part, values)
        case p.Binary() | p.IsTest() | p.Unary():
            for part in _reached(condition, values):
                yield from _whole(part, values)
        case _:
            yield from _whole(condition, values)


def _whole(part: Expression, values: Values) -> Iterator[Expression]:
    if not _constant(part):
        yield part
        for inner in _reached(part, values):
            yield from _whole(inner, values)


def _reached(whole: Expression, values: Values) -> tuple[Expression, ...]:
    """The parts of an expression that its value was made of. A field or an element is shown without what holds it."""
    match whole:
        case p.Binary(operator="and" | "or" | "??" as operator, left=left, right=right):
            value = evaluate(left, values)
            goes_on = {"and": bool(value), "or": not value, "??": value is None}[operator]
            return (left, right) if goes_on else (left,)
        case p.IfValue(condition=condition, then=then, otherwise=otherwise):
            return (condition, then if evaluate(condition, values) else otherwise)
        case p.MatchValue(subject=subject):
            return (subject,)
        case p.FieldAccess() | p.Top() | p.Mean() | NodeValue():
            return ()
        case p.Index(index=index):
            return (index,)
        case p.Slice(start=start, stop=stop):
            return tuple(end for end in (start, stop) if end is not None)
        case p.Probability(outcome=outcome):
            return (outcome,)
        case p.Text(parts=parts):
            return tuple(part.value for part in parts if isinstance(part, p.StringHole))
        case p.Binary(left=left, right=right):
            return (left, right)
        case p.Unary(operand=operand) | p.IsTest(operand=operand):
            return (operand,)
        case p.Builtin(arguments=arguments):
            return arguments
        case p.ListValue(items=items):
            return items
        case p.RecordValue(fields=fields) | p.MapValue(entries=fields):
            return tuple(value for _, value in fields)
    return ()


def _constant(expression: Expression) -> bool:
    """Is its value to be read off the source?"""
    return isinstance(expression, (p.Literal, p.EnumMember)) or getattr(expression, "constant", None) is not None
