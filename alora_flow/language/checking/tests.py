"""What only tests have: `mock` and `expect`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

from alora_flow.language.checking.arguments import bind, settings, slots_of
from alora_flow.language.checking.callees import callee
from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.fit import condition, described, fit, wanted
from alora_flow.language.checking.frames import Frame, misplaced
from alora_flow.language.checking.types import resolve_result, written
from alora_flow.language.meaning import program
from alora_flow.language.meaning.narrowing import facts
from alora_flow.language.meaning.relations import assignable, is_lasting, mocked_as
from alora_flow.language.meaning.settings import SAMPLING
from alora_flow.language.meaning.types import ERROR, NEVER, STR, Type
from alora_flow.language.syntax import nodes

Answer: TypeAlias = nodes.Expression | nodes.Failing | nodes.Invoking


def mock(checker: Checker, node: nodes.Mock, frame: Frame) -> program.Statement:
    if frame.inside != "test":
        misplaced(checker, node.span, "mock", "in tests")
    target = callee(checker, node.callee)
    if target is None:
        for item in node.values:
            _any(checker, item)
        return program.Mock(node.span, "generate", (), ())
    name = f"'{written(node.callee)}'"
    if target == "generate":
        return _generation(checker, node, name)
    if node.as_type is not None:
        message = f"'as' is for 'generate': {name} gives {target.result}"
        checker.report.add("E0508", message, node.as_type.span, "leave it out")
    arguments = bind(checker, node, name, slots_of(target.parameters), partial=True)
    values = tuple(_answer(checker, item, mocked_as(target.result), name) for item in _alone(checker, node, name))
    return program.Mock(node.span, target, arguments, values)


def _generation(checker: Checker, node: nodes.Mock, name: str) -> program.Mock:
    """Its settings and its type say which calls are meant; a string is what the model writes."""
    arguments = settings(checker, node.arguments, SAMPLING, name)
    as_type = resolve_result(checker.unit, node.as_type, "what is generated") if node.as_type else None
    values = tuple(_scripted(checker, node, as_type, name))
    return program.Mock(node.span, "generate", arguments, values, None if as_type == ERROR else as_type)


def _any(checker: Checker, node: Answer) -> None:
    if not isinstance(node, nodes.Invoking):
        checker.value(node.message if isinstance(node, nodes.Failing) else node)


def _alone(checker: Checker, node: nodes.Mock, name: str) -> Iterator[nodes.Expression | nodes.Failing]:
    """The answers of what does not write."""
    for item in node.values:
        if not isinstance(item, nodes.Invoking):
            yield item
        else:
            message = f"only a mock of 'generate' scripts calls, and this is one of {name}"
            checker.report.add("E0508", message, item.span)


def _scripted(checker: Checker, node: nodes.Mock, as_type: Type | None, name: str) -> Iterator[program.Expression]:
    """Its answers, one by one: a text behind an `invoke` goes on with the answer that calls."""
    answer: list[program.Expression] = []
    for item in node.values:
        if isinstance(item, nodes.Invoking):
            answer += _invoking(checker, item, answer, as_type)
            continue
        value = _written(checker, item, as_type, name)
        if len(answer) > 1 and isinstance(answer[-1], program.Invoking) and assignable(value.type, STR):
            answer.append(value)
        else:
            yield from _one(answer)
            answer = [value]
    yield from _one(answer)


def _one(answer: list[program.Expression]) -> list[program.Expression]:
    if len(answer) < 2:
        return answer
    return [program.Scripted(STR, replace(answer[0].span, end=answer[-1].span.end), tuple(answer))]


def _invoking(
    checker: Checker, node: nodes.Invoking, before: list[program.Expression], as_type: Type | None
) -> list[program.Expression]:
    found = callee(checker, node.callee)
    if found is None:
        return []
    if not isinstance(found, program.Intrinsic | program.ToolDecl):
        message = f"'{written(node.callee)}' is no intrinsic and no tool that a mock may invoke"
        checker.report.add("E0509", message, node.callee.span)
        return []
    slots = slots_of(found.parameters if isinstance(found, program.ToolDecl) else ())
    arguments = bind(checker, node, f"'{written(node.callee)}'", slots)
    if as_type is not None or not assignable(before[0].type, STR):
        checker.report.add("E0508", "only an answer that is text has a place for a call", node.span)
    else:
        return [program.Invoking(NEVER, node.span, found, arguments)]
    return []


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
        message = f"what {name} answers is text or a value of the call's type, found {described(found)}"
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
