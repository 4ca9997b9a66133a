"""One run of a flow: every node as soon as it can, all model calls that are ready side by side.

A node is *decided* when it is done or skipped. It starts once everything that it reads is decided and its guards
hold; a guard that does not hold skips it, and with it all that needs it. A *speculative* node starts as soon as what it
reads has a value, whatever its guards; it is decided when they are, and discarded when one does not hold.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from alora_flow.backends.base import Backend
from alora_flow.errors import RunFailed
from alora_flow.execution.hints import Hints
from alora_flow.execution.mocks import Mocks
from alora_flow.execution.requests import request_for
from alora_flow.execution.spending import check_spending
from alora_flow.execution.tools import call_tool
from alora_flow.execution.trace import NodeTrace, Status, Tokens, Trace
from alora_flow.execution.work import State, completed_value, pure_value
from alora_flow.language.meaning.program import ToolDecl
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Node
from alora_flow.planning.prefix.ledger import Key, Ledger, keys_of
from alora_flow.planning.prompts import Call, call_of
from alora_flow.planning.schedule import Schedule
from alora_runtime.errors import EngineError
from alora_runtime.requests import Completion

FindTool = Callable[[ToolDecl], Callable[..., Any]]
"""The Python function of a tool."""

Progress = Callable[[Node, Status | None], None]
"""Told when a node begins (None) and how it ended."""


def quiet(node: Node, status: Status | None) -> None:
    """Progress for nobody."""


class Shared(NamedTuple):
    """What runs side by side have in common: a backend, what its cache holds, and what their calls go on from."""

    backend: Backend
    ledger: Ledger
    hints: Hints


class Run:
    """A run on a backend that it may share with others: `begin`, then `start`, `take` and `gather` while it is `busy`.

    Each of them raises RunFailed, and then the run is over. Each call's prediction is made from the ledger when the
    call begins, before the backend is asked.
    """

    def __init__(self, schedule: Schedule, shared: Shared, find_tool: FindTool, progress: Progress = quiet) -> None:
        self.state, self.shared = State(schedule), shared
        self.find_tool, self.progress = find_tool, progress
        self.result: tuple[Any, Trace] | None = None
        self.error: BaseException | None = None
        self.calls: dict[int, tuple[Call, list[Key]]] = {}

    @property
    def ended(self) -> bool:
        return self.result is not None or self.error is not None

    def begin(self) -> None:
        """Its time runs from here."""
        graph = self.state.graph
        self.nodes = list(graph.nodes.values())
        self._ranks = self.state.schedule.ranks
        self.mocks = Mocks(self.state.setup.prompter.tokenizer)
        self.tools: dict[Future[Any], list[Node]] = {}
        self.answers: dict[tuple[str, str], Future[Any]] = {}
        self.predicted: dict[str, Tokens] = {}
        self.began = time.perf_counter()
        self.times: dict[str, tuple[float, float]] = {}
        self._readers = {node.id: list(graph.digraph.successors(node.id)) for node in self.nodes}
        self._eager = {node.id for node in self.nodes if node.speculative}
        self.shared.hints.add(id(self), self.state.schedule)
        self._needs = {node.id: self._awaited(node) for node in self.nodes}
        self._ready = [(self._ranks[node_id], node_id) for node_id, needs in self._needs.items() if not needs]
        heapify(self._ready)

    def _awaited(self, node: Node) -> set[str]:
        """The nodes that this one waits for before it starts."""
        conditions = () if node.speculative else (guard.condition for guard in g.guards(node))
        return {*(source for source, _ in g.reads(node)), *conditions}

    @property
    def busy(self) -> bool:
        """Is a node ready, or a call or a tool under way?"""
        return bool(self._ready or self.calls or self.tools)

    @property
    def ready(self) -> bool:
        """Can a node start at once?"""
        return bool(self._ready)

    def start(self) -> None:
        """Start every node that is ready."""
        while self._ready:
            self._start(self.state.graph.nodes[heappop(self._ready)[1]])

    def take(self, ticket: int, completion: Completion) -> None:
        """A call is back. What it wrote is in the cache now, all but the last token, whose KV was never computed."""
        call, keys = self.calls.pop(ticket)
        self.shared.ledger.add([*keys, *((token, keys[-1][1]) for token in completion.tokens[:-1])])
        self.state.completions[call.node.id] = completion
        self._finish(call.node, partial(completed_value, call, completion))

    def gather(self) -> None:
        """Take the results of the tools that are back, and look at what was spent."""
        for future in [future for future in self.tools if future.done()]:
            for node in self.tools.pop(future):
                self._finish(node, future.result)
        check_spending(self.state.graph.budgets, self.state.graph.nodes, self.state.completions, self._now())

    def conclude(self) -> None:
        """Every node is decided: its result."""
        self.result = self._returned(), self._trace()

    def _returned(self) -> Any:
        """The value of the one `return` that ran; a test's graph has none."""
        returns = [node.id for node in self.nodes if isinstance(node.operation, g.Return)]
        ran = [node_id for node_id in returns if self.state.status[node_id] == "done"]
        assert len(ran) == bool(returns), f"of the returns {returns} these ran: {ran}"
        return self.state.values[ran[0]] if ran else None

    # ------------------------------------------------------------ starting

    def _start(self, node: Node) -> None:
        if node.id in self.state.status or node.id in self.times:
            return
        self.progress(node, None)
        self.times[node.id] = (self._now(), 0.0)
        try:
            self._work(node)
        except RunFailed:
            self._failed(node)

    def _work(self, node: Node) -> None:
        """Begin a call, or do at once what takes no time."""
        mocked, value = self.mocks.answer(node, self.state.values) if node.mocks else (False, None)
        if mocked:
            return self._learn(node, value)
        match node.operation:
            case g.Generate() | g.Invoke():
                self._submit(call_of(node, self.state.setup, self.state.values))
            case g.Tool() as tool:
                self.tools.setdefault(self._call(tool), []).append(node)
            case _:
                self._learn(node, pure_value(node, self.state))

    def _submit(self, call: Call) -> None:
        node, hints = call.node, self.shared.hints
        hints.gone(id(self), node.id)
        request = request_for(call, self.state.values, hints.of(id(self), call))
        try:
            ticket = self.shared.backend.submit(request)
        except EngineError as error:
            raise RunFailed(f"'{node.id}' (line {node.span.line}): {error}") from error
        keys = keys_of(call.prompt)
        found = self.shared.ledger.prompt(keys)
        self.predicted[node.id] = Tokens(found, len(keys) - found)
        self.calls[ticket] = call, keys

    def _call(self, call: g.Tool) -> Future[Any]:
        """A tool at work; a pure one works once for equal arguments."""
        given = {argument.name: self.state.value(argument.value) for argument in call.arguments}
        key = (call.tool.key, repr(given))
        if call.tool.pure and key in self.answers:
            return self.answers[key]
        self.answers[key] = future = _in_background(call_tool, call.tool, self.find_tool(call.tool), given)
        return future

    # ----------------------------------------------------------- finishing

    def _finish(self, node: Node, result: Callable[[], Any]) -> None:
        """A call is back; one that was skipped meanwhile is of no interest any more."""
        if node.id in self.state.status:
            return
        try:
            self._learn(node, result())
        except RunFailed:
            self._failed(node)

    def _failed(self, node: Node) -> None:
        """Called while an error is handled: what a speculation met only counts if its guards turn out to hold."""
        undecided = self.state.undecided(node)
        if not undecided:
            raise
        self._eager.discard(node.id)
        self._needs[node.id] = undecided
        del self.times[node.id]

    def _learn(self, node: Node, value: Any) -> None:
        """A node has a value: it is done if its guards are decided, and speculative readers can start in any case."""
        self.state.values[node.id] = value
        for reader in self._readers[node.id]:
            if reader in self._eager:
                self._no_longer_needs(reader, node.id)
        self._settle(node)

    def _settle(self, node: Node) -> None:
        if node.id in self.state.values and not self.state.undecided(node):
            self._decide(node, "done")

    def _decide(self, node: Node, status: Status) -> None:
        """A node is done or skipped: start, settle or skip those that waited for it."""
        decided = [(node, status)]
        while decided:
            node, status = decided.pop()
            if node.id in self.state.status:
                continue
            self.state.status[node.id] = status
            self.shared.hints.gone(id(self), node.id)
            self.times[node.id] = (self.times.get(node.id, (self._now(),))[0], self._now())
            self.progress(node, status)
            for reader in map(self.state.graph.nodes.__getitem__, self._readers[node.id]):
                self._no_longer_needs(reader.id, node.id)
                guards = [guard for guard in reader.guards if guard.condition == node.id]
                if not all(map(self.state.holds, guards)):
                    decided.append((reader, "skipped"))
                elif guards and reader.id in self.state.values and not self.state.undecided(reader):
                    decided.append((reader, "done"))

    def _no_longer_needs(self, reader: str, node_id: str) -> None:
        self._needs[reader].discard(node_id)
        if not self._needs[reader]:
            heappush(self._ready, (self._ranks[reader], reader))

    # --------------------------------------------------------------- trace

    def _now(self) -> float:
        return time.perf_counter() - self.began

    def _trace(self) -> Trace:
        return Trace(tuple(map(self._node_trace, self.nodes)), self._now())

    def _node_trace(self, node: Node) -> NodeTrace:
        began, ended = self.times[node.id]
        status, value = self.state.status[node.id], self.state.values.get(node.id)
        done: Completion | None = self.state.completions.get(node.id)
        if done is None:
            return NodeTrace(node.id, node.kind, status, began, ended, value)
        return NodeTrace(
            *(node.id, node.kind, "discarded" if status == "skipped" else status, began, ended, value),
            self.predicted[node.id],
            Tokens(done.reused, done.prefilled),
            done.generated,
            done.forced,
        )


def _in_background(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Call in a daemon thread, so that a tool that never comes back can't keep the process alive."""
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future
