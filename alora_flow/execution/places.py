"""Where a run failed: the place in the flow file, and the calls of flows that led there."""

from __future__ import annotations

from collections.abc import Iterator

from alora_flow.errors import FlowError, text_of
from alora_flow.execution.events import RunEnded
from alora_flow.language.report.source import Span
from alora_flow.planning.graph.nodes import FlowGraph, Node, Select


def say_where(error: FlowError, node: Node, graph: FlowGraph) -> None:
    """Give an error that ends a run its places, which Python shows below its message."""
    error.places = (error.places[0] if error.places else node.span, *_calls(node, graph))
    where, *callers = map(shown, error.places)
    error.add_note("\n".join([f"  at {where}", *(f"  called at {caller}" for caller in callers)]))


def shown(place: Span) -> str:
    """As editors and terminals read it."""
    return f"{place.path}:{place.line}:{place.column}"


def ended_by(error: BaseException, at: float) -> RunEnded:
    """The last event of a run that failed."""
    if not isinstance(error, FlowError):
        return RunEnded(at, text_of(error))
    return RunEnded(at, text_of(error), tuple(map(shown, error.places)), error.traceback)


def _calls(node: Node, graph: FlowGraph) -> Iterator[Span]:
    """The calls of the flows that a node stands in: each is the node that its own nodes' ids begin with."""
    prefix = node.id
    while "." in prefix:
        prefix = prefix.rpartition(".")[0]
        call = graph.nodes.get(prefix)
        if call is not None and isinstance(call.operation, Select) and call.operation.flow:
            yield call.span
