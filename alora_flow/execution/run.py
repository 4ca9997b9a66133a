"""Running a flow: every node as soon as it can, all model calls that are ready side by side.

A node is *decided* when it is done or skipped. It starts once everything that it reads is decided and its guards
hold; a guard that does not hold skips it, and with it all that needs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from heapq import heappop, heappush
from typing import Any

from alora_flow.backends.base import Backend
from alora_flow.errors import RunFailed
from alora_flow.execution.expectations import ExpectationFailed, explain
from alora_flow.execution.figures import FIGURES
from alora_flow.execution.mocks import Mocks
from alora_flow.execution.outcome import generated_value, intrinsic_value
from alora_flow.execution.requests import request_for
from alora_flow.execution.spending import check_spending
from alora_flow.execution.tools import call_tool
from alora_flow.execution.trace import NodeTrace, Status, Tokens, Trace
from alora_flow.language.program import Expression, ToolDecl
from alora_flow.planning import graph as g
from alora_flow.planning.evaluate import evaluate, thread_of
from alora_flow.planning.graph import FlowGraph, Guard, Node, Path
from alora_flow.planning.prefix import Ledger, plan
from alora_flow.planning.prompts import Setup
from alora_flow.prompts.thread import Generated, Turn
from alora_flow.values.data import Reply
from alora_runtime.errors import EngineError
from alora_runtime.requests import Completion

FindTool = Callable[[ToolDecl], Callable[..., Any]]
"""The Python function of a tool."""

Progress = Callable[[Node, Status | None], None]
"""Told when a node begins (None) and how it ended."""


def quiet(node: Node, status: Status | None) -> None:
    """Progress for nobody."""


def run(
    graph: FlowGraph,
    setup: Setup,
    backend: Backend,
    find_tool: FindTool,
    inputs: Mapping[str, Any],
    progress: Progress = quiet,
    ledger: Ledger | None = None,
) -> tuple[Any, Trace]:
    """Run a flow with all inputs in place. Returns its result and the trace. Raises RunFailed.

    `ledger`: what earlier runs left in the backend's cache; this run's calls are added to it.
    """
    return _Run(graph, setup, backend, find_tool, inputs, progress, ledger or Ledger()).result()


class _Run:
    def __init__(
        self,
        graph: FlowGraph,
        setup: Setup,
        backend: Backend,
        find_tool: FindTool,
        inputs: Mapping[str, Any],
        progress: Progress,
        ledger: Ledger,
    ) -> None:
        self.graph, self.setup, self.backend = graph, setup, backend
        self.inputs, self.progress, self.ledger = inputs, progress, ledger
        self.find_tool = find_tool
        self.values: dict[str, Any] = {}
        self.status: dict[str, Status] = {}
        self.completions: dict[str, Completion] = {}
        self.tickets: dict[int, Node] = {}
        self.running: dict[Future[Any], Node] = {}
        self.times: dict[str, tuple[float, float]] = {}
        self.order: list[str] = []
        self.started = time.perf_counter()
        self.mocks = Mocks(setup.prompter.tokenizer)
        self._place = {node_id: index for index, node_id in enumerate(graph.nodes)}
        self._missing = {node.id: _needs(node) for node in graph.nodes.values()}
        self._readers = {node_id: list(graph.digraph.successors(node_id)) for node_id in graph.nodes}
        self._ready = [self._place[node_id] for node_id, missing in self._missing.items() if not missing]

    def result(self) -> tuple[Any, Trace]:
        """Work until every node is decided."""
        with ThreadPoolExecutor(max_workers=8, thread_name_prefix="tool") as pool:
            try:
                while self._ready or self.tickets or self.running:
                    self._start_ready(pool)
                    self._advance()
                    check_spending(self.graph.budgets, self.graph.nodes, self.completions, self._now())
            except BaseException:
                for ticket in self.tickets:
                    self.backend.cancel(ticket)
                raise
        returned = [node for node in self.graph.nodes.values() if isinstance(node.operation, g.Return)]
        value = next((self.values[node.id] for node in returned if self.status[node.id] == "done"), None)
        return value, self._trace()

    # ------------------------------------------------------------ starting

    def _start_ready(self, pool: ThreadPoolExecutor) -> None:
        nodes = list(self.graph.nodes.values())
        while self._ready:
            self._start(nodes[heappop(self._ready)], pool)

    def _start(self, node: Node, pool: ThreadPoolExecutor) -> None:
        if node.id in self.status:
            return
        self.progress(node, None)
        self.times[node.id] = (self._now(), 0.0)
        if node.mocks:
            mocked, value = self.mocks.answer(node, self.values)
            if mocked:
                return self._decide(node, "done", value)
        match node.operation:
            case g.Generate() | g.Invoke() as call:
                self._submit(node, call)
            case g.Tool(tool, arguments):
                given = {argument.name: self.value(argument.value) for argument in arguments}
                self.running[pool.submit(call_tool, tool, self.find_tool(tool), given)] = node
            case _:
                self._decide(node, "done", self._pure(node))

    def _submit(self, node: Node, call: g.Generate | g.Invoke) -> None:
        try:
            ticket = self.backend.submit(request_for(call, self.setup, self.values))
        except EngineError as error:
            raise RunFailed(f"'{node.id}' (line {node.span.line}): {error}") from error
        self.tickets[ticket] = node
        self.order.append(node.id)

    def _pure(self, node: Node) -> Any:
        """The value of a node that calls nothing."""
        match node.operation:
            case g.Input(parameter):
                return self.inputs[parameter.name]
            case g.Thread(expression):
                return thread_of(expression, self.values)
            case g.Value(expression) | g.Condition(expression) | g.Return(expression):
                return self.value(expression)
            case g.Merge(paths):
                return any(map(self._taken, paths))
            case g.Select(choices):
                return next((self.value(value) for path, value in choices if self._taken(path)), None)
            case g.Collect(items):
                return [self.value(value) for path, value in items if self._taken(path)]
            case g.Require(condition, message):
                return self._require(node, condition, message)
            case g.CallCount(among):
                return sum(self.status[node_id] == "done" for node_id in among)
            case g.Figure(name, among):
                ran = [(self.graph.nodes[n], self.completions[n]) for n in among if n in self.completions]
                return FIGURES[name](ran)
            case g.Expect(condition):
                return self._expect(node, condition)
            case g.TooDeep(flow, max_depth):
                raise RunFailed(f"flow '{flow}' called itself more than max_depth {max_depth} times", "raise max_depth")
        raise AssertionError(f"{node.kind} is no pure node")

    def _require(self, node: Node, condition: Expression, message: Expression | None) -> bool:
        if not self.value(condition):
            said = self.value(message) if message else f"'{condition.span.text}' does not hold"
            raise RunFailed(f"line {node.span.line}: {said}")
        return True

    def _expect(self, node: Node, condition: Expression) -> bool:
        if not self.value(condition):
            raise ExpectationFailed(node.span, explain(condition, self.values))
        return True

    def value(self, expression: Expression) -> Any:
        return evaluate(expression, self.values)

    def _taken(self, path: Path) -> bool:
        return all(self._holds(guard) for guard in path)

    def _holds(self, guard: Guard) -> bool:
        return self.status[guard.condition] == "done" and self.values[guard.condition] == guard.holds

    # ----------------------------------------------------------- finishing

    def _advance(self) -> None:
        """Let the engine take a step and gather the tools that are back; wait where nothing else can go on."""
        if self.backend.busy and self.tickets:
            for ticket, completion in self.backend.step():
                if ticket in self.tickets:
                    self._complete(self.tickets.pop(ticket), completion)
        if self.running:
            idle = not self.tickets and not self._ready
            for future in wait(self.running, 0.1 if idle else 0, FIRST_COMPLETED).done:
                node = self.running.pop(future)
                self._decide(node, "done", future.result())

    def _complete(self, node: Node, completion: Completion) -> None:
        if completion.error is not None:
            raise RunFailed(f"'{node.id}' (line {node.span.line}): {completion.error}") from completion.error
        self.completions[node.id] = completion
        match node.operation:
            case g.Invoke(intrinsic=intrinsic):
                value = intrinsic_value(self.setup.contracts[intrinsic.key], completion)
            case g.Generate(as_type=None) as call:
                value = self._reply(call, completion)
            case g.Generate(as_type=as_type) if as_type is not None:
                value = generated_value(as_type, completion)
        self._decide(node, "done", value)

    def _reply(self, call: g.Generate, completion: Completion) -> Reply:
        """The reply and its thread; the stop token is left out of it: the template closes the turn."""
        tokens = completion.tokens[: len(completion.tokens) - (completion.finish == "stop")]
        written = Turn("assistant", (Generated(tokens, completion.text),))
        return Reply(completion.text, (*thread_of(call.thread, self.values), written))

    def _decide(self, node: Node, status: Status, value: Any = None) -> None:
        """A node is done or skipped: start, or skip, those that waited for it."""
        if status == "done":
            self.values[node.id] = value
        decided = [(node, status)]
        while decided:
            node, status = decided.pop()
            if node.id in self.status:
                continue
            self.status[node.id] = status
            self.times[node.id] = (self.times.get(node.id, (self._now(),))[0], self._now())
            self.progress(node, status)
            decided += [(reader, "skipped") for reader in self._tell_readers(node)]

    def _tell_readers(self, node: Node) -> list[Node]:
        """A node is decided: those that can start now become ready; returned are those that never will."""
        never = []
        for reader in map(self.graph.nodes.__getitem__, self._readers[node.id]):
            self._missing[reader.id].discard(node.id)
            if any(guard.condition == node.id and not self._holds(guard) for guard in reader.guards):
                never.append(reader)
            elif not self._missing[reader.id]:
                heappush(self._ready, self._place[reader.id])
        return never

    # --------------------------------------------------------------- trace

    def _now(self) -> float:
        return time.perf_counter() - self.started

    def _trace(self) -> Trace:
        seconds = self._now()
        predicted = self._predicted()
        return Trace(tuple(self._node_trace(node, predicted) for node in self.graph.nodes.values()), seconds)

    def _predicted(self) -> dict[str, Tokens]:
        """The plan, made again now that nothing is unknown: numbers that owe nothing to the engine's counters."""
        written = {node_id: completion.tokens for node_id, completion in self.completions.items()}
        made = plan(self.graph, self.setup, self.values, written, self.order, self.ledger)
        return {call.node.id: Tokens(call.reused.tokens, call.prefilled.tokens) for call in made.calls}

    def _node_trace(self, node: Node, predicted: Mapping[str, Tokens]) -> NodeTrace:
        began, ended = self.times[node.id]
        trace = NodeTrace(node.id, node.kind, self.status[node.id], began, ended, self.values.get(node.id))
        done = self.completions.get(node.id)
        if done is None:
            return trace
        return NodeTrace(
            *(trace.id, trace.kind, trace.status, began, ended, trace.value, predicted[node.id]),
            Tokens(done.reused, done.prefilled),
            done.generated,
            done.forced,
        )


def _needs(node: Node) -> set[str]:
    """The nodes that must be decided before this one can start."""
    return {*(source for source, _ in g.reads(node)), *(guard.condition for guard in g.guards(node))}
