"""Values by condition: `if` and `match` where a value stands."""

from __future__ import annotations

from collections.abc import Iterable

from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.fit import condition, wanted
from alora_flow.language.checking.matches import match_arms
from alora_flow.language.meaning.narrowing import facts, path_of
from alora_flow.language.meaning.program import Expression, IfValue, MatchValue, ValueArm
from alora_flow.language.meaning.relations import assignable, join, union
from alora_flow.language.meaning.types import ERROR, THREAD, Type
from alora_flow.language.syntax import nodes


def if_value(checker: Checker, node: nodes.IfValue, expected: Type | None) -> Expression:
    holds = condition(checker, checker.value(node.condition), "a condition")
    then = side(checker.inside(facts(holds, True)), node.then, expected)
    otherwise = side(checker.inside(facts(holds, False)), node.otherwise, expected)
    return IfValue(common([then.type, otherwise.type], expected), node.span, holds, then, otherwise)


def match_value(checker: Checker, node: nodes.MatchValue, expected: Type | None) -> Expression:
    subject = checker.value(node.subject)
    path = path_of(subject)
    arms = []
    for arm, case in zip(node.arms, match_arms(checker, node, subject), strict=True):
        inner = checker.inside({} if path is None else {path: case.type})
        binding = inner.bind(arm.name, "pattern", case.type) if arm.name else None
        arms.append(ValueArm(case.patterns, binding, side(inner, arm.value, expected), arm.span))
    return MatchValue(common([arm.value.type for arm in arms], expected), node.span, subject, tuple(arms))


def side(checker: Checker, node: nodes.Expression, expected: Type | None) -> Expression:
    """A document or a reply becomes a part of a thread where one is wanted."""
    return wanted(checker, node, THREAD) if expected == THREAD else checker.value(node, expected)


def common(types: Iterable[Type], wanted: Type | None) -> Type:
    """The type of one of several values: numbers have one range, but where several are wanted."""
    types = list(types)
    if ERROR in types or not types:
        return ERROR
    joined = join(types)
    if wanted is not None and not assignable(joined, wanted):
        return union(types) if all(assignable(type, wanted) for type in types) else joined
    return joined
