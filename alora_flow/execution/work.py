"""What one node does: the value of a node that calls nothing, and the value of a call that is back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from alora_flow.errors import RequirementFailed, RunFailed, TimedOut
from alora_flow.execution.expectations import ExpectationFailed, explain
from alora_flow.execution.figures import FIGURES
from alora_flow.execution.replies import reply_of
from alora_flow.language.meaning.program import Expression
from alora_flow.planning.evaluate import MODEL, evaluate, thread_of
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph, Guard, Node, Path
from alora_flow.planning.prompts import PromptedCall
from alora_flow.planning.schedule import Schedule
from alora_flow.planning.setup import Setup
from alora_runtime.requests import Completion, Request

if TYPE_CHECKING:
    from alora_flow.prompts.tokens import Tokenizer

Decision = Literal["done", "skipped", "failed"]


@dataclass
class RunProgress:
    """How far a run is. A node is decided once it has a status; `values` may also hold what was speculated.

    `failures`: by attempt, what the node said that failed in it. `called`: how often a node's answer has called a
    callee (a key of `callee_of`) in the middle.
    """

    schedule: Schedule
    values: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Decision] = field(default_factory=dict)
    completions: list[tuple[Node, Completion]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    called: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.values[MODEL] = self.setup

    @property
    def graph(self) -> FlowGraph:
        return self.schedule.graph

    @property
    def setup(self) -> Setup:
        return self.schedule.setup

    def value(self, expression: Expression) -> Any:
        return evaluate(expression, self.values)

    def holds(self, guard: Guard) -> bool:
        """Did a decided guard come out as wanted?"""
        return self.status[guard.condition] == "done" and self.values[guard.condition] == guard.holds

    def taken(self, path: Path) -> bool:
        return all(map(self.holds, self.graph.last(path)))

    def undecided(self, node: Node) -> set[str]:
        """The node's guards that are not decided yet."""
        return {guard.condition for guard in self.graph.last(node.guards) if guard.condition not in self.status}


def pure_value(node: Node, state: RunProgress) -> Any:
    """The value of a node that calls nothing. Raises RunFailed where the program says so."""
    match node.operation:
        case g.Input(parameter):
            return state.schedule.inputs[parameter.name]
        case g.Thread(expression):
            return thread_of(expression, state.values)
        case g.Value(expression) | g.Condition(expression) | g.Return(expression):
            return state.value(expression)
        case g.Merge(paths):
            return any(map(state.taken, paths))
        case g.Select(choices):
            return next((state.value(value) for path, value in choices if state.taken(path)), None)
        case g.Collect(items):
            return [state.value(value) for path, value in items if state.taken(path)]
        case g.Require(condition, message):
            return _require(node, condition, message, state)
        case g.Attempt():
            return True  # one that fails is decided at once
        case g.Failure(attempt):
            return state.failures[attempt]
        case g.TooDeep(flow, max_depth):
            raise RunFailed(f"flow '{flow}' called itself more than max_depth {max_depth} times", "raise max_depth")
    return _asked_by_a_test(node, state)


def _require(node: Node, condition: Expression, message: Expression | None, state: RunProgress) -> bool:
    if not state.value(condition):
        said = state.value(message) if message else f"'{condition.span.text}' does not hold"
        raise RequirementFailed(f"line {node.span.line}: {said}", said)
    return True


def _asked_by_a_test(node: Node, state: RunProgress) -> Any:
    match node.operation:
        case g.CallCount(callee, among):
            own = sum(state.called[node_id, callee] for node_id in among)
            calls = [node_id for node_id in among if g.callee_of(state.graph.nodes[node_id].operation) == callee]
            return own + sum(state.status[node_id] in ("done", "failed") for node_id in calls)
        case g.Figure(name, among):
            return FIGURES[name](_ran(among, state))
        case g.Expect(condition):
            if not state.value(condition):
                raise ExpectationFailed(node.span, explain(state.graph, condition, state.values))
            return True
    raise AssertionError(f"{node.kind} is not a pure node")


def _ran(among: Sequence[str], state: RunProgress) -> list[tuple[Node, Completion]]:
    wanted = set(among)
    return [(node, completion) for node, completion in state.completions if node.id in wanted]


def completed_value(call: PromptedCall, request: Request, completion: Completion, tokenizer: Tokenizer) -> Any:
    """The value of a model call. Raises RunFailed where what was written does not fit its type, or came to no end."""
    check_ended(call.node, request, completion)
    return reply_of(call.thread, completion, tokenizer) if call.form.read is None else call.form.read(completion)


def check_ended(node: Node, request: Request, completion: Completion) -> None:
    """Raises RunFailed where an answer came to no end."""
    who = f"'{node.id}' (line {node.span.line})"
    if completion.error is not None:
        raise RunFailed(f"{who}: {completion.error}") from completion.error
    if completion.finish == "timeout":
        help = "give it more time, or say with 'else' what there is then"
        raise TimedOut(f"{who} took longer than its timeout of {request.timeout:g} s", help)
