"""In which order a graph's nodes start, what its model calls send, and what each leaves that a later one goes on from.

Everything that needs an order reads it here: the prefix plan, the run, and the hints that a run gives the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from typing import Any

from alora_flow.collector import no_collection
from alora_flow.errors import RunFailed
from alora_flow.frozen import dataclass
from alora_flow.language.meaning.program import Expression
from alora_flow.language.meaning.types import ReplyType, ThreadType, Type
from alora_flow.planning.evaluate import MODEL, NotKnown, Values, evaluate, thread_of
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph, Node, Path
from alora_flow.planning.prompts import PromptedCall
from alora_flow.planning.setup import Setup, call_of
from alora_flow.planning.uses import Places, Uses, next_uses
from alora_flow.prompts.contents import Thread, Turn
from alora_flow.values.data import Reply


@dataclass(frozen=True)
class Step:
    """One model call. Its parts are the turns of its thread and, last, what it adds to them. `uses`: after how many
    parts what is said of the next use changes, and the number of the next call that reads all up to there, else None.
    `end`: its place in the schedule. `certain`: it comes unless something fails before it, and its own failure ends the
    run."""

    number: int
    call: PromptedCall
    uses: Uses
    end: int
    certain: bool

    @property
    def parts(self) -> int:
        return self.uses[-1][0]

    @property
    def releases(self) -> int:
        """How many of the parts, from the end, no later call reads."""
        return self.parts - max((end for end, use in self.uses if use is not None), default=0)

    def next_use(self, part: int) -> int | None:
        """The number of the next call that reads all up to a part, of which the first is 1."""
        return next(use for end, use in self.uses if end >= part)


@dataclass(frozen=True)
class Schedule:
    """One run, as far as its `inputs` tell: nodes start in the order of the source, and so do the calls among them."""

    graph: FlowGraph
    setup: Setup
    inputs: Values
    steps: tuple[Step, ...]
    places: Places

    @cached_property
    def ranks(self) -> Mapping[str, int]:
        """Of several nodes that can start, the one with the least rank does first."""
        return {node_id: rank for rank, node_id in enumerate(self.graph.nodes)}


def schedule(graph: FlowGraph, setup: Setup, inputs: Values) -> Schedule:
    """Walk through a graph once, with what is known of its inputs; parameters without a value stay holes."""
    with no_collection():
        foreseen = list(_foreseen(graph, setup, inputs))
        calls = [call for call, _, _ in foreseen]
        places = Places()
        ends = [_end(call, after, setup, places) for call, after, _ in foreseen]
        certain = [one for _, _, one in foreseen]
        steps = zip(range(len(calls)), calls, next_uses(places, ends), ends, certain, strict=True)
        return Schedule(graph, setup, inputs, tuple([Step(*step) for step in steps]), places)


def _end(call: PromptedCall, after: Thread, setup: Setup, places: Places) -> int:
    """Where a call ends. What a reply adds is a turn, as those that go on from it read it; a plain LoRA shares nothing
    with others."""
    operation = call.node.operation
    if isinstance(operation, g.Generate):
        return places.of(None, after, None if operation.as_type is None else g.Generate)
    assert isinstance(operation, g.Invoke)
    adapter = setup.contract(operation.intrinsic).adapter
    own = (operation.intrinsic.key, call.prompt.added)
    return places.of(None if adapter.activated else adapter.digest, call.thread, own)


def reply_turn(call: PromptedCall) -> Turn:
    """The turn that a generation will have written."""
    return Turn("assistant", (call.reply,))


def print_schedule(made: Schedule) -> str:
    """One call a line: how many parts it reads, which call reads each of them next, and how many nobody does."""
    lines = []
    for step in made.steps:
        counts = [end - before for (before, _), (end, _) in pairwise([(0, None), *step.uses])]
        runs = zip(step.uses, counts, strict=True)
        read = [f"{count} by {made.steps[use].call.node.id}" for (_, use), count in runs if use is not None]
        kept = f", read again: {', '.join(read)}" if read else ""
        lines.append(f"{step.number}  {step.call.node.id}  {step.parts} parts{kept}; releases {step.releases}\n")
    return "".join(lines)


# ---------------------------------------------------------------------- the walk


def _foreseen(graph: FlowGraph, setup: Setup, inputs: Values) -> Iterator[tuple[PromptedCall, Thread, bool]]:
    """Every call that may run, in order, with what can be said of the values before it, the thread after it, and
    whether it is certain to come."""
    values: dict[str, Any] = {**inputs, MODEL: setup}
    out: set[str] = set()
    for node in graph.nodes.values():
        path = graph.last(node.guards)
        if not _may_run(path, values, out):
            out.add(node.id)
        elif isinstance(node.operation, g.MODEL_CALLS):
            certain = node.id not in graph.attempts and all(guard.condition in values for guard in path)
            with suppress(RunFailed):  # what fails by what is known does so in the run, where it may be handled
                yield *_called(node, setup, values), certain
        elif node.id not in values:
            with suppress(RunFailed, NotKnown):
                _foresee(graph, node, values, out)


def _called(node: Node, setup: Setup, values: dict[str, Any]) -> tuple[PromptedCall, Thread]:
    """The call that a node makes, and the thread after it, which is put into `values`."""
    call = call_of(node, setup, values)
    if not isinstance(node.operation, g.Generate) or node.operation.as_type is not None:
        return call, call.thread
    after = call.thread.then(reply_turn(call))
    values[node.id] = Reply(None, after)
    return call, after


def _may_run(path: Path, values: Values, out: set[str]) -> bool:
    """No guard is known not to hold."""
    return not any(guard.condition in out or values.get(guard.condition, guard.holds) != guard.holds for guard in path)


def _foresee(graph: FlowGraph, node: Node, values: dict[str, Any], out: set[str]) -> None:
    """Put into `values` what can be said of a node before it has run: all, or the shape of a thread. Raises NotKnown
    where it is nothing."""
    match node.operation:
        case g.Value(expression) | g.Condition(expression):
            values[node.id] = _seen(node.type, expression, values)
        case g.Thread(expression):
            values[node.id] = thread_of(expression, values)
        case g.Select(choices):
            possible = [value for path, value in choices if _may_run(graph.last(path), values, out)]
            if len(possible) == 1:
                values[node.id] = _seen(node.type, possible[0], values)
        case g.Collect(items) if not any(path for path, _ in items):
            values[node.id] = [evaluate(value, values) for _, value in items]
        case g.Input(parameter) if parameter.default is not None:
            values[node.id] = _seen(parameter.type, parameter.default, values)


def _seen(type: Type, expression: Expression, values: Values) -> Any:
    match type:
        case ThreadType():
            return thread_of(expression, values)
        case ReplyType():
            return Reply(None, thread_of(expression, values))
    return evaluate(expression, values)
