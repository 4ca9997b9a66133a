"""A pure tool works once in a run for equal arguments."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from alora_flow.execution.answers.chain import Inquiry
from alora_flow.planning.graph.nodes import Tool


class Memo:
    """Answers by tool and arguments, those that are still being worked out too."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Future[Any]] = {}

    def known(self, question: Inquiry) -> Future[Any] | None:
        key = _key(question)
        return None if key is None else self._answers.get(key)

    def learn(self, question: Inquiry, answer: Future[Any]) -> None:
        key = _key(question)
        if key is not None:
            self._answers[key] = answer


def _key(question: Inquiry) -> tuple[str, str] | None:
    operation = question.node.operation
    if not isinstance(operation, Tool) or not operation.tool.pure:
        return None
    return operation.tool.key, repr(question.arguments)
