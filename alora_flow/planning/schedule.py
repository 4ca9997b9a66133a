"""In which order a graph's nodes start, what its model calls send, and what each leaves that a later one goes on from.

Everything that needs an order reads it here: the prefix plan, the run, and the hints that a run gives the engine.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from alora_flow.language.meaning.program import Expression
from alora_flow.language.meaning.types import ReplyType, ThreadType
from alora_flow.planning.evaluate import NotKnown, Values, evaluate, thread_of
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph, Node, Path
from alora_flow.planning.prompts import PromptedCall, Setup, call_of
from alora_flow.prompts.thread import Hole, Turn
from alora_flow.values.data import Reply


@dataclass(frozen=True)
class Step:
    """One model call. `parts`: the turns of its thread and, last, what it adds to them, by names that are equal where
    the cache can share them. `uses`: for each part, the number of the next call that reads all up to it, else None.
    `until`: the number of the last call that reads what this one adds, its own where none does. `releases`: how many of
    the parts, from the end, no later call reads."""

    number: int
    call: PromptedCall
    parts: tuple[Hashable, ...]
    uses: tuple[int | None, ...]
    until: int

    @property
    def releases(self) -> int:
        return next((count for count, use in enumerate(reversed(self.uses)) if use is not None), len(self.uses))


@dataclass(frozen=True)
class Schedule:
    """One run, as far as its `inputs` tell: nodes start in the order of the source, and so do the calls among them."""

    graph: FlowGraph
    setup: Setup
    inputs: Values
    steps: tuple[Step, ...]

    @cached_property
    def ranks(self) -> Mapping[str, int]:
        """Of several nodes that can start, the one with the least rank does first."""
        return {node_id: rank for rank, node_id in enumerate(self.graph.nodes)}


def schedule(graph: FlowGraph, setup: Setup, inputs: Values) -> Schedule:
    """Walk through a graph once, with what is known of its inputs; parameters without a value stay holes."""
    calls = tuple(_foreseen(graph, setup, inputs))
    parts = [_parts(call, setup) for call in calls]
    steps = zip(range(len(calls)), calls, parts, _uses(parts), _untils(parts), strict=True)
    return Schedule(graph, setup, inputs, tuple(Step(*step) for step in steps))


def _parts(call: PromptedCall, setup: Setup) -> tuple[Hashable, ...]:
    """A plain LoRA shares nothing with others."""
    operation = call.node.operation
    if isinstance(operation, g.Generate):
        return (*map(_named, call.thread), g.Generate if operation.as_type else ("assistant", call.node.id))
    assert isinstance(operation, g.Invoke)
    adapter = setup.contract(operation.intrinsic).adapter
    label = None if adapter.activated else adapter.digest
    return (*((label, _named(turn)) if label else _named(turn) for turn in call.thread), operation.intrinsic.key)


def _named(turn: Turn) -> Hashable:
    """A turn that a call writes is the same in its own parts and in those of the calls that go on from it."""
    match turn.content:
        case (Hole(source, at_most),) if at_most is not None:
            return "assistant", source
    return turn


def _uses(parts: list[tuple[Hashable, ...]]) -> list[tuple[int | None, ...]]:
    """From the last call to the first: who was met last at a place is its next user."""
    places: dict[tuple[int, Hashable], int] = {}  # (place before, part) → place
    users: dict[int, int] = {}
    found: list[tuple[int | None, ...]] = []
    for number in range(len(parts) - 1, -1, -1):
        place, uses = -1, []
        for part in parts[number]:
            place = places.setdefault((place, part), len(places))
            uses.append(users.get(place))
            users[place] = number
        found.append(tuple(uses))
    return found[::-1]


def _untils(parts: list[tuple[Hashable, ...]]) -> list[int]:
    """Of what a call is the first to read: who is the last."""
    places: dict[tuple[int, Hashable], int] = {}
    last: list[int] = []  # by place
    added: list[list[int]] = []
    for number, own in enumerate(parts):
        place, new = -1, []
        for part in own:
            place = places.setdefault((place, part), len(places))
            if place == len(last):
                last.append(number)
                new.append(place)
            last[place] = number
        added.append(new)
    return [max((last[place] for place in new), default=number) for number, new in enumerate(added)]


def print_schedule(made: Schedule) -> str:
    """One call a line: how many parts it reads, which call reads each of them next, and how many nobody does."""
    lines = []
    for step in made.steps:
        runs = [(use, len(list(run))) for use, run in groupby(step.uses)]
        read = [f"{count} by {made.steps[use].call.node.id}" for use, count in runs if use is not None]
        kept = f", read again: {', '.join(read)}" if read else ""
        lines.append(f"{step.number}  {step.call.node.id}  {len(step.parts)} parts{kept}; releases {step.releases}\n")
    return "".join(lines)


# ---------------------------------------------------------------------- the walk


def _foreseen(graph: FlowGraph, setup: Setup, inputs: Values) -> Iterator[PromptedCall]:
    """Every call that may run, in order, with what can be said of the values before it."""
    values: dict[str, Any] = dict(inputs)
    out: set[str] = set()
    for node in graph.nodes.values():
        if not _may_run(node.guards, values, out):
            out.add(node.id)
        elif isinstance(node.operation, g.MODEL_CALLS):
            call = call_of(node, setup, values)
            yield call
            if isinstance(node.operation, g.Generate) and node.operation.as_type is None:
                values[node.id] = Reply(
                    None, (*call.thread, Turn("assistant", (Hole(node.id, call.form.most_tokens),)))
                )
        elif node.id not in values:
            _foresee(node, values, out)


def _may_run(path: Path, values: Values, out: set[str]) -> bool:
    """No guard is known not to hold."""
    return not any(guard.condition in out or values.get(guard.condition, guard.holds) != guard.holds for guard in path)


def _foresee(node: Node, values: dict[str, Any], out: set[str]) -> None:
    """Put into `values` what can be said of a node before it has run: all, the shape of a thread, or nothing."""
    threaded = isinstance(node.type, ThreadType | ReplyType)
    match node.operation:
        case g.Thread(expression):
            values[node.id] = thread_of(expression, values)
        case g.Select(choices):
            possible = [value for path, value in choices if _may_run(path, values, out)]
            if len(possible) == 1:
                _look(node.id, possible[0], values, threaded)
        case g.Value(expression) | g.Condition(expression):
            _look(node.id, expression, values, threaded)
        case g.Input(parameter) if parameter.default is not None:
            _look(node.id, parameter.default, values, False)


def _look(node_id: str, expression: Expression, values: dict[str, Any], threaded: bool) -> None:
    try:
        values[node_id] = thread_of(expression, values) if threaded else evaluate(expression, values)
    except NotKnown:
        return
