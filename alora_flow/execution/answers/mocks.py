"""What a test has calls give instead of running them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from enum import Enum
from typing import Any

from alora_flow.errors import BadMock, RunFailed
from alora_flow.execution.answers.chain import Inquiry, settled
from alora_flow.execution.scripts import UNKNOWN, Script, ScriptedCall
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Expression, Failing, Intrinsic, Invoking, Scripted
from alora_flow.planning.evaluate import Values, evaluate, thread_of
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import CalleeMock, MockRule, Node, key_of
from alora_flow.planning.setup import Setup
from alora_flow.prompts.contents import Generated, Turn
from alora_flow.values.data import Distribution, Reply
from alora_flow.values.plain import plain
from alora_flow.values.written import choices_of, parse

MISSING = object()
"""What a call gives for an argument that it does not have."""


class Mocks:
    """Counts which value of each rule is next. `tell` is told of each node and the number of the mock that answers."""

    def __init__(self, setup: Setup, tell: Callable[[str, int], None]) -> None:
        self._setup, self._tell = setup, tell
        self._used: Counter[int] = Counter()

    def known(self, question: Inquiry) -> Future[Any] | None:
        """The value of the first rule that fits this call; None where none does, since a generation has other settings.

        Raises RunFailed where the mock says so, BadMock where it gives no value of the call's type, and for a tool, a
        flow or an intrinsic that is mocked, but not with these arguments: the real one never runs.
        """
        node, values = question.node, question.values
        own = [rule for rule in node.mocks if not isinstance(rule, CalleeMock)]
        rule = next((rule for rule in own if _fits(rule, question)), None)
        if rule is None:
            if own and not isinstance(node.operation, g.Generate):
                raise _missed(question)
            return None
        answer = self._next(node, rule, values)
        if isinstance(answer, Scripted):
            return settled(Script(_parts(node, answer, values)))
        return settled(self._as_result(node, evaluate(answer, values), values))

    def called(self, node: Node, callee: Intrinsic, values: Values) -> Any:
        """What a mock says that an intrinsic gives which is called in the middle of an answer; UNKNOWN where none does.

        Raises RunFailed where the mock says so.
        """
        mine = (rule for rule in node.mocks if isinstance(rule, CalleeMock) and rule.callee == key_of(callee))
        rule = next((rule for rule in mine if not rule.arguments), None)
        if rule is None:
            return UNKNOWN
        value = evaluate(self._next(node, rule, values), values)
        certain = isinstance(callee.result, t.ProbType) and not isinstance(value, Distribution)
        return _distribution(callee.result, value) if certain else value  # type: ignore[arg-type]

    def _next(self, node: Node, rule: MockRule, values: Values) -> Expression:
        answer = rule.values[min(self._used[rule.number], len(rule.values) - 1)]
        self._used[rule.number] += 1
        self._tell(node.id, rule.number)
        if isinstance(answer, Failing):
            raise RunFailed(evaluate(answer.message, values))
        return answer

    def learn(self, question: Inquiry, answer: Future[Any]) -> None:
        """A mock is nothing that a call tells."""

    def _as_result(self, node: Node, value: Any, values: Values) -> Any:
        """A mocked value as what the call gives: text as a reply on its thread, certainty as a distribution."""
        match node.operation:
            case g.Generate(as_type=None) as call:
                written = Turn("assistant", (Generated(self._setup.prompter.tokenizer.encode_data(value), value),))
                return Reply(value, thread_of(call.thread, values).then(written), [])
            case g.Generate() if isinstance(value, str) and not isinstance(value, Enum):
                value = _read(node, value)
        if isinstance(node.type, t.ProbType) and not isinstance(value, Distribution):
            return _distribution(node.type, value)
        return value


def _parts(node: Node, answer: Scripted, values: Values) -> Iterator[str | ScriptedCall]:
    """Texts, and what is called between them. Raises BadMock for what the generation may not call."""
    may = g.permission_of(node.operation)
    for part in answer.parts:
        if not isinstance(part, Invoking):
            yield evaluate(part, values)
        elif may is None or part.callee.key not in (one.key for one in may.callees):
            said = f"line {part.span.line}: this mock has the model invoke '{part.callee.name}', which the generation "
            raise BadMock(f"{said}of line {node.span.line} may not", "leave it out, or list it in `may invoke`")
        else:
            yield ScriptedCall(part.callee.key, {item.name: evaluate(item.value, values) for item in part.arguments})


def _fits(rule: MockRule, question: Inquiry) -> bool:
    """Do the call's arguments equal those that the rule names?"""
    given = question.arguments
    return all(given.get(item.name, MISSING) == evaluate(item.value, question.values) for item in rule.arguments)


def _missed(question: Inquiry) -> BadMock:
    node, operation = question.node, question.node.operation
    given = ", ".join(f"{name}: {plain(value)!r}" for name, value in question.arguments.items())
    name = operation.tool.name if isinstance(operation, g.Tool) else node.span.text.partition("(")[0]
    return BadMock(
        f"line {node.span.line}: no mock of '{name}' fits ({given})",
        "mock it with these arguments, or without any for all other calls",
    )


def _read(node: Node, text: str) -> Any:
    """Text as the value that it would be if the model wrote it. Raises BadMock where it is none."""
    type = node.type.of if isinstance(node.type, t.ProbType) else node.type
    options = dict(choices_of(type) or ())
    try:
        return options[text] if options else parse(type, text)
    except (KeyError, RunFailed) as error:
        said = f"line {node.span.line}: the mock of this call gives {text!r}, which is no {type}"
        raise BadMock(said, "give it a value of the type, or the JSON that the model would write") from error


def _distribution(type: t.ProbType, value: Any) -> Distribution:
    """Certainty about one outcome; for a bool also p(true) as a number."""
    if isinstance(type.of, t.BoolType):
        certain = float(value)
        return Distribution((True, False), (certain, 1.0 - certain))
    return Distribution((value,), (1.0,))
