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
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from alora_flow.backends.base import Backend
from alora_flow.errors import FlowError, RunFailed
from alora_flow.execution.answers.chain import Chain, Inquiry
from alora_flow.execution.answers.memo import Memo
from alora_flow.execution.answers.mocks import Mocks
from alora_flow.execution.events import (
    CallCompleted,
    CallSubmitted,
    Event,
    Listener,
    NodeEnded,
    NodeStarted,
    RunEnded,
    RunStarted,
    Tokens,
    quiet,
)
from alora_flow.execution.hints import Hints
from alora_flow.execution.requests import fitted, model_call
from alora_flow.execution.spending import check_spending
from alora_flow.execution.tools import call_tool
from alora_flow.execution.trace import Trace
from alora_flow.execution.work import Decision, RunProgress, completed_value, pure_value
from alora_flow.language.meaning.program import ToolDecl
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Node
from alora_flow.planning.prefix.ledger import Key, Ledger, keys_of
from alora_flow.planning.prompts import PromptedCall, call_of
from alora_flow.planning.schedule import Schedule
from alora_runtime.errors import EngineError
from alora_runtime.requests import Completion

FindTool = Callable[[ToolDecl], Callable[..., Any]]
"""The Python function of a tool."""


@dataclass
class Crowd:
    """Of all runs: the tokens in the cache that calls under way add, or that later calls go on from."""

    tokens: int = 0


class Shared(NamedTuple):
    """What runs side by side have in common: a backend, what its cache holds, what their calls go on from, and how much
    of the cache they need."""

    backend: Backend
    ledger: Ledger
    hints: Hints
    crowd: Crowd


class Started(NamedTuple):
    """A model call under way: the `number`-th of its node, and its prompt as the cache's keys."""

    call: PromptedCall
    number: int
    keys: list[Key]


class FlowRun:
    """A run on a backend that it may share with others: `begin`, then `start`, `take` and `gather` while it is `busy`.

    Each of them raises RunFailed, and then the run is over. Each call's prediction is made from the ledger when the
    call begins, before the backend is asked. `listener` is told of every event.
    """

    def __init__(
        self, schedule: Schedule, shared: Shared, find_tool: FindTool, listener: Listener = quiet, seed: int = 0
    ) -> None:
        self.state, self.shared, self.seed = RunProgress(schedule), shared, seed
        self.find_tool, self.listener = find_tool, listener
        self.result: tuple[Any, Trace] | None = None
        self.error: BaseException | None = None
        self.calls: dict[int, Started] = {}
        self._held: dict[str, int] = {}  # by the call that reads them last: tokens in the cache
        self._adding: dict[str, tuple[int, bool]] = {}  # of calls that wait: tokens, and whether they go on from others
        self._log: list[Event] = []

    @property
    def ended(self) -> bool:
        return self.result is not None or self.error is not None

    @property
    def trace(self) -> Trace:
        """What happened so far."""
        return Trace(tuple(self._log))

    def begin(self) -> None:
        """Its time runs from here."""
        graph = self.state.graph
        self.began = time.perf_counter()
        self._tell(RunStarted(0.0, graph.flow.key, tuple((n.id, n.kind) for n in graph.nodes.values()), self.seed))
        self.answers = Chain([Mocks(self.state.setup), Memo()])
        self.tools: dict[Future[Any], list[Node]] = {}
        self.shared.hints.add(id(self), self.state.schedule)
        self._begun: set[str] = set()
        self._submitted: dict[str, int] = {}  # node → how many calls it made
        self._ranks = self.state.schedule.ranks
        self._steps = {step.call.node.id: step for step in self.state.schedule.steps}
        self._readers = graph.readers
        self._eager = {node.id for node in graph.nodes.values() if node.speculative}
        self._needs = {node.id: self._awaited(node) for node in graph.nodes.values()}
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
        """Start every node that is ready, in the order of the source; a model call, only where the cache has room.

        So under pressure one element of a `for` comes to its end before the next one begins, and none of its prefixes
        is pushed out by what begins too early.
        """
        waiting = []
        while self._ready:
            ranked = heappop(self._ready)
            node = self.state.graph.nodes[ranked[1]]
            if isinstance(node.operation, g.MODEL_CALLS) and not self._fits(node):
                waiting.append(ranked)
            else:
                self._start(node)
        self._ready = waiting  # popped in order, and so a heap

    def _fits(self, node: Node) -> bool:
        """Has the cache room for a call? Half of it is for new threads, what is left is for what goes on from them, up
        to an eighth that absorbs what nobody can know. Where nothing is under way, one call may always begin."""
        crowd, total = self.shared.crowd, self.shared.backend.cache_tokens
        if not self.shared.backend.busy or crowd.tokens <= total // 2:
            return True
        if node.id not in self._adding:
            call = call_of(node, self.state.setup, self.state.values)
            keys = keys_of(call.prompt)
            adds = len(keys) - self.shared.ledger.known(keys) + call.form.most_tokens
            self._adding[node.id] = adds, 2 * adds <= len(keys)
        adds, goes_on = self._adding[node.id]
        return goes_on and crowd.tokens + adds <= total - total // 8

    def take(self, ticket: int, completion: Completion) -> None:
        """A call is back. What it wrote is in the cache now, all but the last token, whose KV was never computed."""
        call, number, keys = self.calls.pop(ticket)
        self.shared.ledger.add([*keys, *((token, keys[-1][1]) for token in completion.tokens[:-1])])
        self.state.completions.append((call.node, completion))
        actual = Tokens(completion.reused, completion.prefilled)
        counts = (actual, completion.generated, completion.forced, completion.finish)
        self._tell(CallCompleted(self._now(), call.node.id, number, *counts))
        self._finish(call.node, partial(completed_value, call, completion))

    def withdraw(self) -> None:
        """It is over: take back the calls that are under way, and let go of what it needed of the cache."""
        for ticket in self.calls:
            self.shared.backend.cancel(ticket)
        self.calls.clear()
        for reader in list(self._held):
            self._let_go(reader)

    def _hold(self, node: Node, tokens: int) -> None:
        """A call adds tokens, which are needed until the last call that goes on from them is done."""
        step = self._steps.get(node.id)
        last = self.state.schedule.steps[step.until].call.node.id if step else node.id
        reader = node.id if last in self.state.status else last
        self._held[reader] = self._held.get(reader, 0) + tokens
        self.shared.crowd.tokens += tokens

    def _let_go(self, reader: str) -> None:
        self.shared.crowd.tokens -= self._held.pop(reader, 0)

    def gather(self) -> None:
        """Take the results of the tools that are back, and look at what was spent."""
        for future in [future for future in self.tools if future.done()]:
            for node in self.tools.pop(future):
                self._finish(node, future.result)
        check_spending(self.state.graph.budgets, self.state.completions, self._now())

    def conclude(self) -> None:
        """Every node is decided: its result."""
        value = self._returned()
        self._tell(RunEnded(self._now()))
        self.result = value, self.trace

    def fail(self, error: BaseException) -> None:
        """It ends without a result; a FlowError takes the trace along."""
        self.error = error
        if self._log:
            ended = RunEnded(self._now(), str(error) or type(error).__name__)
            self._log.append(ended)
            if isinstance(error, FlowError):
                error.trace = self.trace
            with suppress(Exception):  # the run's own error is the one to tell, not a listener's
                self.listener(ended)

    def _returned(self) -> Any:
        """The value of the one `return` that ran; a test's graph has none."""
        returns = [node.id for node in self.state.graph.nodes.values() if isinstance(node.operation, g.Return)]
        ran = [node_id for node_id in returns if self.state.status[node_id] == "done"]
        assert len(ran) == bool(returns), f"of the returns {returns} these ran: {ran}"
        return self.state.values[ran[0]] if ran else None

    # ------------------------------------------------------------ starting

    def _start(self, node: Node) -> None:
        if node.id in self.state.status or node.id in self._begun:
            return
        self._begun.add(node.id)
        self._tell(NodeStarted(self._now(), node.id))
        try:
            self._work(node)
        except RunFailed as error:
            self._failed(node, error)

    def _work(self, node: Node) -> None:
        """Begin a call whose answer nobody knows, or do at once what takes no time."""
        operation = node.operation
        if not node.mocks and not isinstance(operation, (*g.MODEL_CALLS, g.Tool)):
            return self._learn(node, pure_value(node, self.state))
        question = Inquiry(node, self.state.values)
        answer = self.answers.known(question)
        if answer is None and isinstance(operation, g.MODEL_CALLS):
            return self._submit(call_of(node, self.state.setup, self.state.values))
        if answer is None:
            assert isinstance(operation, g.Tool)
            answer = _in_background(call_tool, operation.tool, self.find_tool(operation.tool), question.arguments)
            self.answers.learn(question, answer)
        if answer.done():
            return self._learn(node, answer.result())
        self.tools.setdefault(answer, []).append(node)

    def _submit(self, call: PromptedCall) -> None:
        node, hints, abilities = call.node, self.shared.hints, self.shared.backend.abilities
        hints.gone(id(self), node.id)
        call = fitted(call, abilities)
        number = self._submitted.get(node.id, 0)
        sent = model_call(call, self.state.values, f"{node.id}#{number}", self.seed, hints.of(id(self), call))
        try:
            ticket = self.shared.backend.submit(sent)
        except EngineError as error:
            raise RunFailed(f"'{node.id}' (line {node.span.line}): {error}") from error
        keys = keys_of(call.prompt)
        found = self.shared.ledger.prompt(keys)
        self._submitted[node.id] = number + 1
        self.calls[ticket] = Started(call, number, keys)
        self._hold(node, len(keys) - found + call.form.most_tokens)
        adapter = call.prompt.contract.name if call.prompt.contract else None
        predicted = Tokens(found, len(keys) - found) if abilities.exact_accounting else None
        seed = sent.request.seed if sent.request.temperature else None
        self._tell(CallSubmitted(self._now(), node.id, number, adapter, predicted, seed))

    # ----------------------------------------------------------- finishing

    def _finish(self, node: Node, result: Callable[[], Any]) -> None:
        """A call is back; one that was skipped meanwhile is of no interest any more."""
        if node.id in self.state.status:
            return
        try:
            self._learn(node, result())
        except RunFailed as error:
            self._failed(node, error)

    def _failed(self, node: Node, error: RunFailed) -> None:
        """Called while an error is handled: what a speculation met only counts if its guards turn out to hold."""
        undecided = self.state.undecided(node)
        if not undecided:
            self._tell(NodeEnded(self._now(), node.id, "failed", error=error.message))
            raise error
        self._eager.discard(node.id)
        self._needs[node.id] = undecided
        self._begun.discard(node.id)

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

    def _decide(self, node: Node, status: Decision) -> None:
        """A node is done or skipped: start, settle or skip those that waited for it."""
        decided = [(node, status)]
        while decided:
            node, status = decided.pop()
            if node.id in self.state.status:
                continue
            self.state.status[node.id] = status
            self.shared.hints.gone(id(self), node.id)
            self._let_go(node.id)
            thrown_away = status == "skipped" and node.id in self._submitted
            told = "discarded" if thrown_away else status
            self._tell(NodeEnded(self._now(), node.id, told, self.state.values.get(node.id)))
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

    def _now(self) -> float:
        return time.perf_counter() - self.began

    def _tell(self, event: Event) -> None:
        self._log.append(event)
        self.listener(event)


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
