"""An `expect` that did not hold, and what its parts were."""

from __future__ import annotations

from typing import Any

from alora_flow.errors import RunFailed
from alora_flow.language.meaning import program as p
from alora_flow.language.meaning.program import Expression
from alora_flow.language.report.source import Span
from alora_flow.planning.evaluate import Values, evaluate


class ExpectationFailed(RunFailed):
    """A test failed. `values` are (source text, value) of the parts of the condition."""

    def __init__(self, span: Span, values: list[tuple[str, Any]]) -> None:
        super().__init__(f"line {span.line}: {span.text}")
        self.span = span
        self.values = values


def explain(condition: Expression, values: Values) -> list[tuple[str, Any]]:
    """The parts of a condition that are worth seeing: what stands beside its comparisons, constants left out."""
    match condition:
        case p.Binary(operator="and" | "or", left=left, right=right):
            return explain(left, values) + (explain(right, values) if evaluate(left, values) else [])
        case p.Binary(left=left, right=right):
            return [_shown(side, values) for side in (left, right) if not _constant(side)]
        case p.Unary(operator="not", operand=operand) | p.IsTest(operand=operand):
            return [_shown(operand, values)]
    return [_shown(condition, values)]


def _shown(expression: Expression, values: Values) -> tuple[str, Any]:
    return " ".join(expression.span.text.split()), evaluate(expression, values)


def _constant(expression: Expression) -> bool:
    return isinstance(expression, (p.Literal, p.EnumMember)) or getattr(expression, "constant", None) is not None
