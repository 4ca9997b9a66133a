"""Where a block stands, and the small checks that statements share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal as OneOf

from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.fit import condition, described
from alora_flow.language.meaning import program
from alora_flow.language.meaning.folding import fold
from alora_flow.language.meaning.types import ERROR, Type
from alora_flow.language.report.source import Span
from alora_flow.language.syntax import nodes

Inside = OneOf["flow", "test", "for", "repeat", "else"]


@dataclass
class Frame:
    """Where a block stands. `result` is what `return` must give, with the place that says so.

    `top` at the top level of the body of a fan-out or loop, where `keep`, `accept` and `next` belong. `wanted` is what
    `accept` gives, where that is known before.
    """

    inside: Inside
    result: Type | None = None
    result_span: Span | None = None
    top: bool = True
    states: dict[str, program.Binding] = field(default_factory=dict)
    given: list[program.Expression] = field(default_factory=list)
    fan_out: bool = False
    wanted: Type | None = None

    @property
    def takes_accept(self) -> bool:
        return self.top and self.inside in ("repeat", "else")

    def nested(self) -> Frame:
        return replace(self, top=False)

    def body(self, inside: Inside) -> Frame:
        return Frame(inside, self.result, self.result_span, fan_out=self.fan_out or inside == "for")


def misplaced(checker: Checker, span: Span, word: str, where: str) -> None:
    checker.report.add("E0604", f"'{word}' stands only {where}", span)


def when(checker: Checker, node: nodes.Expression | None) -> program.Expression | None:
    return condition(checker, checker.value(node), "a condition") if node is not None else None


def constant_int(checker: Checker, node: nodes.Expression, what: str) -> int:
    """A whole number, 1 or more, that is known before the run."""
    found = checker.value(node)
    constant = fold(found)
    if found.type == ERROR:
        return 1
    number = constant.value if isinstance(constant, program.Literal) else None
    if isinstance(number, int) and not isinstance(number, bool):
        if number >= 1:
            return number
        message = f"{what} must be 1 or more, found {number}"
        checker.report.add("E0401", message, node.span, "write a number from 1 on")
    elif constant is None:
        help = "the plan must know it: write a number or a const"
        checker.report.add("E0208", f"{what} must be a constant", node.span, help)
    else:
        checker.report.add("E0401", f"{what} must be a whole number, found {described(found)}", node.span)
    return 1
