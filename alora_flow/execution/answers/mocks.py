"""What a test has calls give instead of running them."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from typing import Any

from alora_flow.errors import RunFailed
from alora_flow.execution.answers.chain import Inquiry, settled
from alora_flow.language.meaning import types as t
from alora_flow.planning.evaluate import Values, evaluate, thread_of
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import MockRule, Node
from alora_flow.planning.prompts import Setup
from alora_flow.prompts.contents import Generated, Turn
from alora_flow.values.data import Distribution, Reply


class Mocks:
    """Counts which value of each rule is next."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._used: Counter[int] = Counter()

    def known(self, question: Inquiry) -> Future[Any] | None:
        """The value of the first rule that fits this call."""
        node, values = question.node, question.values
        rule = next((rule for rule in node.mocks if _fits(rule, question)), None)
        if rule is None:
            if isinstance(node.operation, g.Mocked):
                raise RunFailed(f"line {node.span.line}: no mock of this flow fits these arguments")
            return None
        place = min(self._used[rule.number], len(rule.values) - 1)
        self._used[rule.number] += 1
        return settled(self._as_result(node, evaluate(rule.values[place], values), values))

    def learn(self, question: Inquiry, answer: Future[Any]) -> None:
        """A mock is nothing that a call tells."""

    def _as_result(self, node: Node, value: Any, values: Values) -> Any:
        """A mocked value as what the call gives: text as a reply on its thread, certainty as a distribution."""
        match node.operation:
            case g.Generate(as_type=None) as call:
                written = Turn("assistant", (Generated(self._setup.prompter.tokenizer.encode_data(value), value),))
                return Reply(value, (*thread_of(call.thread, values), written))
            case _ if isinstance(node.type, t.ProbType) and not isinstance(value, Distribution):
                return _distribution(node.type, value)
        return value


def _fits(rule: MockRule, question: Inquiry) -> bool:
    """Do the call's arguments equal those that the rule names?"""
    return all(question.arguments[item.name] == evaluate(item.value, question.values) for item in rule.arguments)


def _distribution(type: t.ProbType, value: Any) -> Distribution:
    """Certainty about one outcome; for a bool also p(true) as a number."""
    if isinstance(type.of, t.BoolType):
        certain = float(value)
        return Distribution((True, False), (certain, 1.0 - certain))
    return Distribution((value,), (1.0,))
