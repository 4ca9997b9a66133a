"""What only tests have: `mock` and `expect`."""

from __future__ import annotations

from alora_flow.language.checking.arguments import bind, settings, slots_of
from alora_flow.language.checking.callees import callee
from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.fit import condition, fit, wanted
from alora_flow.language.checking.frames import Frame, misplaced
from alora_flow.language.checking.types import resolve_result, written
from alora_flow.language.meaning import program
from alora_flow.language.meaning.narrowing import facts
from alora_flow.language.meaning.settings import SAMPLING
from alora_flow.language.meaning.types import ERROR, NEVER, STR, Type, assignable, is_lasting, mocked_as
from alora_flow.language.syntax import nodes


def mock(checker: Checker, node: nodes.Mock, frame: Frame) -> program.Statement:
    if frame.inside != "test":
        misplaced(checker, node.span, "mock", "in tests")
    target = callee(checker, node.callee)
    if target is None:
        for item in node.values:
            checker.value(item.message if isinstance(item, nodes.Failing) else item)
        return program.Mock(node.span, "generate", (), ())
    name = f"'{written(node.callee)}'"
    if target == "generate":
        return _generation(checker, node, name)
    if node.as_type is not None:
        message = f"'as' is for 'generate': {name} gives {target.result}"
        checker.report.add("E0508", message, node.as_type.span, "leave it out")
    arguments = bind(checker, node, name, slots_of(target.parameters), partial=True)
    values = tuple(_answer(checker, item, mocked_as(target.result), name) for item in node.values)
    return program.Mock(node.span, target, arguments, values)


def _generation(checker: Checker, node: nodes.Mock, name: str) -> program.Mock:
    """Its settings and its type say which calls are meant; a string is what the model writes."""
    arguments = settings(checker, node.arguments, SAMPLING, name)
    as_type = resolve_result(checker.unit, node.as_type, "what is generated") if node.as_type else None
    values = tuple(_written(checker, item, as_type, name) for item in node.values)
    return program.Mock(node.span, "generate", arguments, values, None if as_type == ERROR else as_type)


def _written(
    checker: Checker, node: nodes.Expression | nodes.Failing, as_type: Type | None, name: str
) -> program.Expression:
    if isinstance(node, nodes.Failing):
        return _failing(checker, node)
    found = checker.value(node, mocked_as(as_type) if as_type else None)
    if assignable(found.type, STR) or found.type == ERROR:
        return found
    if as_type is not None:
        return fit(checker, found, mocked_as(as_type), f"what {name} answers")
    if not is_lasting(found.type):
        message = f"what {name} answers is text or a value of the call's type, found {found.type}"
        checker.report.add("E0401", message, found.span)
    return found


def _answer(checker: Checker, node: nodes.Expression | nodes.Failing, type: Type, name: str) -> program.Expression:
    if isinstance(node, nodes.Failing):
        return _failing(checker, node)
    return wanted(checker, node, type, f"what {name} answers")


def _failing(checker: Checker, node: nodes.Failing) -> program.Failing:
    return program.Failing(NEVER, node.span, wanted(checker, node.message, STR, "why it fails"))


def expect(checker: Checker, node: nodes.Expect, frame: Frame) -> program.Statement:
    if frame.inside != "test":
        misplaced(checker, node.span, "expect", "in tests")
    holds = condition(checker, checker.value(node.condition), "what is expected")
    checker.scope.narrowed |= facts(holds, True)
    return program.Expect(node.span, holds)
