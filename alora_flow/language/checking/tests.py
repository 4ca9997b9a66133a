"""What only tests have: `mock` and `expect`."""

from __future__ import annotations

from alora_flow.language.checking.arguments import bind, slots_of
from alora_flow.language.checking.callees import callee
from alora_flow.language.checking.fit import condition
from alora_flow.language.checking.frames import Frame, misplaced
from alora_flow.language.checking.scope import Scope
from alora_flow.language.checking.types import written
from alora_flow.language.checking.values import Values, value, wanted
from alora_flow.language.meaning import program
from alora_flow.language.meaning.narrowing import facts
from alora_flow.language.meaning.types import (
    BOOL,
    STR,
    UNIT_FLOAT,
    BoolType,
    ProbType,
    Type,
    union,
)
from alora_flow.language.syntax import nodes


def mock(scope: Scope, node: nodes.Mock, frame: Frame) -> program.Statement:
    if frame.inside != "test":
        misplaced(scope, node.span, "mock", "in tests")
    target = callee(scope, node.callee)
    if target is None:
        for item in node.values:
            value(scope, item)
        return program.Mock(node.span, "generate", (), ())
    slots = [] if target == "generate" else slots_of(target.parameters)
    name = f"'{written(node.callee)}'"
    arguments = bind(Values(scope), node, name, slots, partial=True)
    type = _mocked_type(target)
    values = tuple(wanted(scope, item, type, f"what {name} answers") for item in node.values)
    return program.Mock(node.span, target, arguments, values)


def _mocked_type(target: program.Callee) -> Type:
    if target == "generate":
        return STR
    if isinstance(target.result, ProbType):
        of = target.result.of
        return union([BOOL, UNIT_FLOAT]) if isinstance(of, BoolType) else of
    return target.result


def expect(scope: Scope, node: nodes.Expect, frame: Frame) -> program.Statement:
    if frame.inside != "test":
        misplaced(scope, node.span, "expect", "in tests")
    holds = condition(scope, value(scope, node.condition), "what is expected")
    scope.narrowed |= facts(holds, True)
    return program.Expect(node.span, holds)
