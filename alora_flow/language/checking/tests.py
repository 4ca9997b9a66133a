"""What only tests have: `mock` and `expect`."""

from __future__ import annotations

from alora_flow.language.checking.arguments import bind, slots_of
from alora_flow.language.checking.callees import callee
from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.fit import condition, wanted
from alora_flow.language.checking.frames import Frame, misplaced
from alora_flow.language.checking.types import written
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


def mock(checker: Checker, node: nodes.Mock, frame: Frame) -> program.Statement:
    if frame.inside != "test":
        misplaced(checker, node.span, "mock", "in tests")
    target = callee(checker, node.callee)
    if target is None:
        for item in node.values:
            checker.value(item)
        return program.Mock(node.span, "generate", (), ())
    slots = [] if target == "generate" else slots_of(target.parameters)
    name = f"'{written(node.callee)}'"
    arguments = bind(checker, node, name, slots, partial=True)
    type = _mocked_type(target)
    values = tuple(wanted(checker, item, type, f"what {name} answers") for item in node.values)
    return program.Mock(node.span, target, arguments, values)


def _mocked_type(target: program.Callee) -> Type:
    if target == "generate":
        return STR
    if isinstance(target.result, ProbType):
        of = target.result.of
        return union([BOOL, UNIT_FLOAT]) if isinstance(of, BoolType) else of
    return target.result


def expect(checker: Checker, node: nodes.Expect, frame: Frame) -> program.Statement:
    if frame.inside != "test":
        misplaced(checker, node.span, "expect", "in tests")
    holds = condition(checker, checker.value(node.condition), "what is expected")
    checker.scope.narrowed |= facts(holds, True)
    return program.Expect(node.span, holds)
