"""What happened in a run, node by node, and what it cost beside what was planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["done", "skipped", "discarded"]
"""Discarded: speculated, and then a guard did not hold."""


@dataclass(frozen=True)
class Tokens:
    """Prompt tokens of one call: found in the cache, and computed."""

    reused: int
    prefilled: int


@dataclass(frozen=True)
class NodeTrace:
    """One node. Times in seconds since the run began; token counts only for model calls."""

    id: str
    kind: str
    status: Status
    began: float
    ended: float
    value: Any = field(compare=False)
    predicted: Tokens | None = None
    actual: Tokens | None = None
    generated: int = 0
    forced: int = 0


@dataclass(frozen=True)
class Stats:
    """Totals of a run; `seconds` from the first node to the result."""

    reused: int
    prefilled: int
    generated: int
    forced: int
    seconds: float


@dataclass(frozen=True)
class Trace:
    """All nodes in the order of the graph."""

    nodes: tuple[NodeTrace, ...]
    seconds: float

    @property
    def calls(self) -> tuple[NodeTrace, ...]:
        """The nodes that called the model."""
        return tuple(node for node in self.nodes if node.actual is not None)

    @property
    def stats(self) -> Stats:
        actual = [node.actual for node in self.calls if node.actual]
        return Stats(
            sum(tokens.reused for tokens in actual),
            sum(tokens.prefilled for tokens in actual),
            sum(node.generated for node in self.calls),
            sum(node.forced for node in self.calls),
            self.seconds,
        )

    @property
    def kept_promise(self) -> bool:
        """Did every call reuse and prefill exactly what the plan said?"""
        return all(node.predicted == node.actual for node in self.calls)

    def __getitem__(self, node_id: str) -> NodeTrace:
        return self._by_id[node_id]

    @property
    def _by_id(self) -> Mapping[str, NodeTrace]:
        return {node.id: node for node in self.nodes}
