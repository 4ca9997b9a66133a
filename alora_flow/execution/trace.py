"""What happened in a run, node by node, and what it cost beside what was planned: read from the log of its events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from alora_flow.errors import BadInput
from alora_flow.execution.events import (
    VERSION,
    CallCompleted,
    CallSubmitted,
    Event,
    NodeEnded,
    NodeStarted,
    RunEnded,
    RunStarted,
    Status,
    Tokens,
    event_json,
    event_of,
)
from alora_flow.frozen import dataclass


@dataclass(frozen=True)
class CallTrace:
    """One model call: `id` is its node's, with `#2` and so on where a node has several, and the name of what the
    model itself calls there, at a `depth` from 1 on. `actual` is None for a call that is not back."""

    id: str
    kind: str
    adapter: str | None
    predicted: Tokens | None
    actual: Tokens | None = None
    generated: int = 0
    forced: int = 0
    depth: int = 0


@dataclass(frozen=True)
class NodeTrace:
    """One node. Times in seconds since the run began; `status` is None for one that was not decided when it ended."""

    id: str
    kind: str
    status: Status | None = None
    began: float = 0.0
    ended: float = 0.0
    value: Any = field(default=None, compare=False)
    calls: tuple[CallTrace, ...] = ()
    error: str | None = None


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
    """A run, finished or not."""

    events: tuple[Event, ...]

    @cached_property
    def nodes(self) -> tuple[NodeTrace, ...]:
        """All nodes in the order of the graph."""
        by_node: dict[str, list[Event]] = {}
        for event in self.events:
            if not isinstance(event, RunStarted) and (node := getattr(event, "node", None)) is not None:
                by_node.setdefault(node, []).append(event)
        return tuple(_node(node, kind, by_node.get(node, [])) for node, kind in self._started.nodes)

    @property
    def _started(self) -> RunStarted:
        assert isinstance(self.events[0], RunStarted)
        return self.events[0]

    @property
    def flow(self) -> str:
        return self._started.flow

    @property
    def seed(self) -> int:
        """What the run was started with; with it and the same inputs a run draws the same numbers."""
        return self._started.seed

    @property
    def sampled(self) -> bool:
        """Did any call draw a number?"""
        return any(isinstance(event, CallSubmitted) and event.seed is not None for event in self.events)

    @property
    def seconds(self) -> float:
        return self.events[-1].at

    @property
    def end(self) -> RunEnded | None:
        """How the run ended, with the places of its error; None where the log ends before."""
        last = self.events[-1]
        return last if isinstance(last, RunEnded) else None

    @property
    def calls(self) -> tuple[CallTrace, ...]:
        """The model calls that are back, in the order of the graph."""
        return tuple(call for node in self.nodes for call in node.calls if call.actual is not None)

    @property
    def handled(self) -> tuple[NodeTrace, ...]:
        """The nodes that failed without the run: an `else` of the flow gave another value."""
        failed = tuple(node for node in self.nodes if node.status == "failed")
        return failed if getattr(self.events[-1], "error", None) is None else ()

    @property
    def stats(self) -> Stats:
        actual = [call.actual for call in self.calls if call.actual]
        return Stats(
            sum(tokens.reused for tokens in actual),
            sum(tokens.prefilled for tokens in actual),
            sum(call.generated for call in self.calls),
            sum(call.forced for call in self.calls),
            self.seconds,
        )

    @property
    def kept_promise(self) -> bool | None:
        """Did every call reuse and prefill what the plan said, or no more where it said "at most"? None where the
        backend can't tell."""
        if any(call.predicted is None for call in self.calls):
            return None
        return all(call.predicted and call.predicted.kept(call.actual) for call in self.calls)

    def __getitem__(self, node_id: str) -> NodeTrace:
        return self._by_id[node_id]

    @cached_property
    def _by_id(self) -> Mapping[str, NodeTrace]:
        return {node.id: node for node in self.nodes}

    def to_json(self) -> str:
        """One event a line, as `run --trace FILE` writes it."""
        return "".join(f"{json.dumps(event_json(event), ensure_ascii=False)}\n" for event in self.events)

    @classmethod
    def from_json(cls, text: str) -> Trace:
        """Read a log back; values are plain data then. A last line that was cut off is left out. Raises BadInput."""
        lines = text.splitlines()
        if text and not text.endswith("\n"):
            lines.pop()
        try:
            events = tuple(event_of(json.loads(line)) for line in lines)
        except (ValidationError, ValueError, KeyError) as error:
            raise BadInput(f"this is not a log of a run's events: {error}") from error
        if not events or not isinstance(events[0], RunStarted):
            raise BadInput("this is not a log of a run's events: it does not begin with RunStarted")
        if events[0].version != VERSION:
            raise BadInput(f"this log has version {events[0].version}; this alora-flow reads version {VERSION}")
        return cls(events)


def _node(node: str, kind: str, events: list[Event]) -> NodeTrace:
    began = next((event.at for event in events if isinstance(event, NodeStarted)), None)
    ended = next((event for event in reversed(events) if isinstance(event, NodeEnded)), None)
    calls = _calls(node, kind, events)
    if ended is None:
        return NodeTrace(node, kind, None, began or 0.0, began or 0.0, None, calls)
    start = ended.at if began is None else began
    return NodeTrace(node, kind, ended.status, start, ended.at, ended.value, calls, ended.error)


def _calls(node: str, kind: str, events: list[Event]) -> tuple[CallTrace, ...]:
    back = {event.call: event for event in events if isinstance(event, CallCompleted)}
    made = []
    for event in events:
        if isinstance(event, CallSubmitted):
            name = node if event.call == 0 else f"{node}#{event.call + 1}"
            name += f" {event.callee}" if event.callee else ""
            done = back.get(event.call)
            counts = (done.actual, done.generated, done.forced) if done else (None, 0, 0)
            predicted = done.predicted if done and done.predicted else event.predicted
            called = "invoke" if event.callee else kind
            made.append(CallTrace(name, called, event.adapter, predicted, *counts, event.depth))
    return tuple(made)
