"""Is it known already? The links are asked in order, and told of what had to be worked out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from typing import Any, Protocol

from alora_flow.frozen import dataclass
from alora_flow.planning.evaluate import Values, evaluate
from alora_flow.planning.graph.nodes import Generate, Node


@dataclass(frozen=True)
class Inquiry:
    """A node that is about to call something. `values` are those of the nodes so far."""

    node: Node
    values: Values

    @cached_property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of its call, by name; of a generation, the settings that it gives."""
        operation = self.node.operation
        given = operation.settings if isinstance(operation, Generate) else getattr(operation, "arguments", ())
        return {item.name: evaluate(item.value, self.values) for item in given}


class Link(Protocol):
    """One way to know an answer."""

    def known(self, question: Inquiry) -> Future[Any] | None:
        """The answer, or what will be it; None where this link does not know. Raises RunFailed where it must."""
        ...

    def learn(self, question: Inquiry, answer: Future[Any]) -> None:
        """Nobody knew: this is being worked out."""
        ...


class Chain:
    """The first link that knows, answers."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = links

    def known(self, question: Inquiry) -> Future[Any] | None:
        return next((found for link in self._links if (found := link.known(question)) is not None), None)

    def learn(self, question: Inquiry, answer: Future[Any]) -> None:
        for link in self._links:
            link.learn(question, answer)


def settled(value: Any) -> Future[Any]:
    """An answer that is there."""
    answer: Future[Any] = Future()
    answer.set_result(value)
    return answer
