"""One run of a flow: every node as soon as it can, all model calls that are ready side by side.

A node is *decided* when it is done, skipped or failed. It starts once everything that it reads is decided and its
guards hold; a tool with effects, once those before it in the source are decided. A guard that does not hold skips a
node, and with it all that needs it. A node that fails ends the run, but for one of an *attempt*: then that is false,
and what else belongs to it is skipped. A *speculative* node starts as soon as what it reads has a value, whatever its
guards; it is decided when they are, and discarded when one does not hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple
from weakref import proxy

from alora_flow.backends.base import Backend, ModelCall
from alora_flow.errors import BadMock, FlowError, RequirementFailed, RunFailed
from alora_flow.execution.answers.chain import Chain, Inquiry
from alora_flow.execution.answers.memo import Memo
from alora_flow.execution.answers.mocks import Mocks
from alora_flow.execution.background import in_background
from alora_flow.execution.bounds import Crowd, Hold
from alora_flow.execution.calling import Calling
from alora_flow.execution.events import (
    INCOMPLETE,
    CallCompleted,
    CallSubmitted,
    Event,
    Listener,
    MockAnswered,
    NodeEnded,
    NodeStarted,
    RunEnded,
    RunStarted,
    TextListener,
    TextWritten,
    Tokens,
    quiet,
)
from alora_flow.execution.hints import Hints
from alora_flow.execution.needs import Needs
from alora_flow.execution.places import ended_by, say_where
from alora_flow.execution.readiness import Readiness
from alora_flow.execution.requests import fitted, model_call, most_written, seed_at
from alora_flow.execution.scripts import Script
from alora_flow.execution.spending import check_spending
from alora_flow.execution.tools import call_tool, in_a_tool
from alora_flow.execution.trace import Trace
from alora_flow.execution.work import Decision, RunProgress, completed_value, pure_value
from alora_flow.language.meaning.program import ToolDecl
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Node
from alora_flow.planning.prefix.ledger import Ledger
from alora_flow.planning.prompts import PromptedCall
from alora_flow.planning.schedule import Schedule
from alora_flow.planning.setup import call_of
from alora_flow.values.models import as_declared
from alora_runtime.errors import EngineError
from alora_runtime.requests import Completion, Request

UNDER_WAY = object()
"""In place of a value: more is to come."""

FindTool = Callable[[ToolDecl], Callable[..., Any]]
"""The Python function of a tool."""


class Shared(NamedTuple):
    """What runs side by side have in common: a backend, what its cache holds, what their calls go on from, and how much
    of the cache they need."""

    backend: Backend
    ledger: Ledger
    hints: Hints
    crowd: Crowd


class Started(NamedTuple):
    """A model call under way: the `number`-th of its node, asked after so many failed `tries`, as `request`; what it
    needs of the cache; the generation with calls of its own that it is part of; what is predicted where that is
    not what it was when it began."""

    call: PromptedCall
    number: int
    tries: int
    request: Request
    hold: Hold
    calling: Calling | None
    predicted: Tokens | None = None


class Asked(NamedTuple):
    """A node that waits for a tool. result: what becomes of it once the tool has answered. again: the model's call in
    the middle of which it was asked, after so many failed tries."""

    node: Node
    result: Callable[[], Any]
    again: tuple[PromptedCall, int] | None = None


class FlowRun:
    """A run on a backend that it may share with others: `begin`, then `start`, `take` and `gather` while it is `busy`.

    Each of them raises RunFailed, and then the run is over. Each call's prediction is made from the ledger when the
    call begins, before the backend is asked. `listener` is told of every event, `text_listener` of the answers' text as
    it grows; `over` is done when the run has ended; `for_a_tool` says that it was made while a tool is called.
    """

    def __init__(
        self,
        schedule: Schedule,
        shared: Shared,
        find_tool: FindTool,
        listener: Listener = quiet,
        seed: int = 0,
        text_listener: TextListener | None = None,
    ) -> None:
        self.state, self.shared, self.seed = RunProgress(schedule), shared, seed
        self.find_tool, self.listener, self.text_listener = find_tool, listener, text_listener
        self.result: tuple[Any, Trace] | None = None
        self.error: BaseException | None = None
        self.over: Future[None] = Future()
        self.over.set_running_or_notify_cancel()  # whoever waits for it can't cancel it
        self.for_a_tool = in_a_tool()
        self._written: list[TextWritten] = []  # that the listener has not been told of
        self.calls: dict[int, Started] = {}
        self._cached = Needs(schedule, shared.crowd)
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
        # Without a cycle, all that a run made goes as soon as it is over, and not some time later.
        self._mocks = Mocks(self.state.setup, partial(FlowRun._mocked, proxy(self)))
        self.answers = Chain([self._mocks, Memo()])
        self.tools: dict[Future[Any], list[Asked]] = {}
        self.shared.hints.add(id(self), self.state.schedule)
        self._begun: set[str] = set()
        self._submitted: dict[str, int] = {}  # node → how many calls it made
        self._ready = Readiness(self.state.schedule)

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
        for node in self._ready.take():
            if isinstance(node.operation, g.MODEL_CALLS) and not self._fits_or_fails(node):
                waiting.append(node)
            else:
                self._start(node)
        self._ready.again(waiting)

    def _fits_or_fails(self, node: Node) -> bool:
        """Can it start: has the cache room for it, or will it fail when it starts?"""
        try:
            return self._fits(node)
        except RunFailed:
            return True

    def _fits(self, node: Node) -> bool:
        """Has the cache room for a call? Half of it is for new threads, what is left is for what goes on from them, up
        to an eighth that absorbs what nobody can know. Where nothing is under way, one call may always begin."""
        needed, total = self.shared.crowd.needed, self.shared.backend.cache_tokens
        if not self.shared.backend.busy or needed <= total // 8:
            return True
        if node.id in self._adding and not self._has_room(*self._adding[node.id]):
            return False
        # Again, since what it goes on from may have been given up meanwhile.
        call = call_of(node, self.state.setup, self.state.values)
        adds = len(call.prompt) - self.shared.ledger.needed_of(call.prompt) + call.form.most_tokens
        self._adding[node.id] = adds, 2 * adds <= len(call.prompt)
        return self._has_room(*self._adding[node.id])

    def _has_room(self, adds: int, goes_on: bool) -> bool:
        needed, total = self.shared.crowd.needed, self.shared.backend.cache_tokens
        return needed + adds <= total - total // 8 and (goes_on or needed <= total // 2)

    def tell_text(self) -> None:
        """Let the listener have what was written since the last time; not while the backend is at work."""
        told, self._written = self._written, []
        if self.text_listener is not None:
            for event in told:
                self.text_listener(event)

    def take(self, ticket: int, completion: Completion) -> None:
        """A call is back. What it wrote is in the cache now, all but the last token, whose KV was never computed."""
        started = self.calls.pop(ticket)
        call, number, calling, predicted = started.call, started.number, started.calling, started.predicted
        adapter = call.prompt.adapter_at(len(call.prompt))
        end = self.shared.ledger.answer(started.hold.end, completion, started.request.resumes, adapter)
        self.shared.crowd.end(started.hold, None if completion.finish in INCOMPLETE else end, ticket)
        self._cached.rest(call.node.id, started.hold, call.thread)
        self.state.completions.append((call.node, completion))
        actual = Tokens(completion.reused, completion.prefilled)
        counts = (actual, completion.generated, completion.forced, completion.finish, predicted)
        self._tell(CallCompleted(self._now(), call.node.id, number, *counts))
        tokenizer = self.state.setup.prompter.tokenizer
        value: Callable[[], Any] = partial(completed_value, call, started.request, completion, tokenizer)
        if calling is not None:
            value = partial(self._advance, calling, started.tries, completion)
        self._finish(call.node, value, (calling.call if calling else call, started.tries))

    def lose(self) -> None:
        """The cache was emptied while the run waits for tools: nothing is left of its calls."""
        self._cached.end()

    def doubt(self) -> None:
        """Another run was broken off: what its calls would have computed for those under way is not known."""
        for ticket, started in self.calls.items():
            self.calls[ticket] = started._replace(predicted=Tokens(0, len(started.call.prompt), at_most=True))

    def withdraw(self) -> None:
        """It is over: take back the calls that are under way, and let go of what it needed of the cache."""
        for ticket, started in self.calls.items():
            self.shared.backend.cancel(ticket)
            self.shared.crowd.end(started.hold, None, ticket)
        self.calls.clear()
        self._cached.end()

    def gather(self) -> None:
        """Take the results of the tools that are back, and look at what was spent."""
        for future in [future for future in self.tools if future.done()]:
            for asked in self.tools.pop(future):
                self._finish(asked.node, asked.result, asked.again)
        check_spending(self.state.graph.budgets, self.state.completions, self._now())

    def conclude(self) -> None:
        """Every node is decided: its result."""
        value = self._returned()
        self._tell(RunEnded(self._now()))
        self.result = value, self.trace
        self.over.set_result(None)

    def fail(self, error: BaseException) -> None:
        """It ends without a result; a FlowError takes the trace along."""
        self.error = error
        if self._log:
            ended = ended_by(error, self._now())
            self._log.append(ended)
            if isinstance(error, FlowError):
                error.trace = self.trace
            with suppress(Exception):  # the run's own error is the one to tell, not a listener's
                self.listener(ended)
        if not self.over.done():
            self.over.set_result(None)

    def _returned(self) -> Any:
        """The value of the one `return` that ran, of the declared type; a test's graph has none."""
        returns = [node.id for node in self.state.graph.nodes.values() if isinstance(node.operation, g.Return)]
        ran = [node_id for node_id in returns if self.state.status[node_id] == "done"]
        assert len(ran) == bool(returns), f"of the returns {returns} these ran: {ran}"
        return as_declared(self.state.values[ran[0]], self.state.graph.flow.result) if ran else None

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
            answer = self._ask(question)
        if answer.done() and isinstance(answer.result(), Script):
            return self._submit(call_of(node, self.state.setup, self.state.values), script=answer.result())
        if answer.done():
            return self._learn(node, answer.result())
        self.tools.setdefault(answer, []).append(Asked(node, answer.result))

    def _ask(self, question: Inquiry) -> Future[Any]:
        """Call the tool of a node."""
        assert isinstance(question.node.operation, g.Tool)
        tool = question.node.operation.tool
        answer: Future[Any] = in_background(call_tool, tool, self.find_tool(tool), question.arguments)
        self.answers.learn(question, answer)
        return answer

    def _submit(self, call: PromptedCall, tries: int = 0, script: Script | None = None) -> None:
        node, hints = call.node, self.shared.hints
        hints.gone(id(self), node.id)
        place = f"{node.id}#{tries}"
        if call.own is not None:
            return self._begin(call, place, tries, script)
        call = fitted(call, self.shared.backend.abilities)
        next_use = hints.of(id(self), call)
        self._send(call, model_call(call, self.state.values, place, self.seed, next_use, again=tries > 0), tries)

    def _begin(self, call: PromptedCall, place: str, tries: int, script: Script | None) -> None:
        """An answer with calls of its own. It is gone on from soon, whatever the plan says."""
        assert call.own is not None
        sent = model_call(call, self.state.values, place, self.seed, again=tries > 0)
        seeds = {key: seed_at(self.seed, f"{place} {key}") for key in call.own.by_key}
        calling = Calling(call, sent.request, seeds, self.state.setup.prompter, script)
        reply = self._advance(calling, tries)
        if reply is not UNDER_WAY:
            self._learn(call.node, reply)

    def _advance(
        self, calling: Calling, tries: int, completion: Completion | None = None, told: Future[Any] | None = None
    ) -> Any:
        """Such an answer goes on, after a part of it is back, or what a tool has `told`: to its value, or UNDER_WAY
        where more is to come."""
        node = calling.call.node
        while True:
            if completion is not None:
                calling.receive(completion)
            while calling.answered is not None:
                value, told = self._called(calling, tries, told), None
                if value is UNDER_WAY:
                    return UNDER_WAY
                for event in calling.settle(value, self.state.values, self._now()):
                    self._tell(event)
            if calling.request is None:
                return calling.result()
            if calling.begins_call:
                self.state.called[node.id, g.key_of(calling.callee)] += 1
                self._tell(calling.begun(self._now()))
            completion = calling.known(lambda callee: self._mocks.called(node, callee, self.state.values))
            if completion is None:
                call = calling.prompted
                self._send(call, ModelCall(node.id, calling.request, call.thread, call.prompt), tries, calling)
                return UNDER_WAY

    def _called(self, calling: Calling, tries: int, told: Future[Any] | None) -> Any:
        """The value of a call in the middle of an answer, or UNDER_WAY where a tool is still at it."""
        node = calling.call.node
        try:
            if told is None and (tool := calling.tool) is not None:
                question = Inquiry(tool, self.state.values)
                told = self.answers.known(question) or self._ask(question)
                if not told.done():
                    on = partial(self._advance, calling, tries, None, told)
                    self.tools.setdefault(told, []).append(Asked(node, on, (calling.call, tries)))
                    return UNDER_WAY
            return calling.value() if told is None else told.result()
        except BadMock:
            raise
        except RunFailed as error:
            raise calling.failed(error) from error

    def _send(self, call: PromptedCall, sent: ModelCall, tries: int, calling: Calling | None = None) -> None:
        node, crowd, abilities = call.node, self.shared.crowd, self.shared.backend.abilities
        number = self._submitted.get(node.id, 0)
        called = calling.under_way if calling else None
        if called is None:
            sent = self._heard(sent, number)
        try:
            ticket = self.shared.backend.submit(sent)
        except EngineError as error:
            raise RunFailed(f"'{node.id}' (line {node.span.line}): {error}") from error
        entered = self.shared.ledger.enter(call.prompt)
        self._submitted[node.id] = number + 1
        predicted = crowd.found(entered) if abilities.exact_accounting else None
        age = self.began, self._cached.number(node.id)
        hold = Hold(entered.end, most_written(sent.request), age)
        self.calls[ticket] = Started(call, number, tries, sent.request, hold, calling)
        crowd.begin(hold)
        adapter = call.prompt.contract.name if call.prompt.contract else None
        seed = sent.request.seed if sent.request.temperature else None
        inside = (called.name, called.depth) if called else ()
        self._tell(CallSubmitted(self._now(), node.id, number, adapter, predicted, seed, *inside))

    def _heard(self, call: ModelCall, number: int) -> ModelCall:
        """The call, and what it writes is kept for the listener where there is one."""

        def write(text: str) -> None:
            if text:
                self._written.append(TextWritten(self._now(), call.node, number, text))

        return replace(call, write=write) if self.text_listener else call

    # ----------------------------------------------------------- finishing

    def _finish(self, node: Node, result: Callable[[], Any], again: tuple[PromptedCall, int] | None = None) -> None:
        """A call is back; one that was skipped meanwhile is of no interest any more. Where it failed, a model's call is
        made `again` after so many tries, if it may be."""
        if node.id in self.state.status:
            return
        try:
            try:
                value = result()
            except RunFailed:
                if again is None or again[1] >= again[0].form.retry:
                    raise
                return self._submit(again[0], again[1] + 1)
            if value is not UNDER_WAY:
                self._learn(node, value)
        except RunFailed as error:
            self._failed(node, error)

    def _failed(self, node: Node, error: RunFailed) -> None:
        """Called while an error is handled: what a speculation met only counts if its guards turn out to hold."""
        undecided = self.state.undecided(node)
        if not undecided:
            return self._fail(node, error)
        self._ready.delay(node, undecided)
        self._begun.discard(node.id)

    def _fail(self, node: Node, error: RunFailed) -> None:
        """It has failed for good, and so has the attempt that it belongs to; without one, the run has."""
        attempt = self.state.graph.attempts.get(node.id)
        if attempt is None or isinstance(error, BadMock):
            self._tell(NodeEnded(self._now(), node.id, "failed", error=error.message))
            say_where(error, node, self.state.graph)
            raise error
        self.state.failures[attempt] = error.said if isinstance(error, RequirementFailed) else error.message
        self._decide(node, "failed", error.message)
        for member in self.state.graph.attempted(attempt):
            self._decide(member, "skipped")
        self._learn(self.state.graph.nodes[attempt], False)

    def _learn(self, node: Node, value: Any) -> None:
        """A node has a value: it is done if its guards are decided, and speculative readers can start in any case."""
        self.state.values[node.id] = value
        self._ready.valued(node)
        self._settle(node)

    def _settle(self, node: Node) -> None:
        if node.id in self.state.values and not self.state.undecided(node):
            self._decide(node, "done")

    def _decide(self, node: Node, status: Decision, error: str | None = None) -> None:
        """A node is done, skipped or failed: start, settle or skip those that waited for it."""
        decided = [(node, status)]
        while decided:
            node, status = decided.pop()
            if node.id in self.state.status:
                continue
            self.state.status[node.id] = status
            self.shared.hints.gone(id(self), node.id)
            self._cached.over(node.id)
            thrown_away = status == "skipped" and node.id in self._submitted
            told = "discarded" if thrown_away else status
            self._tell(NodeEnded(self._now(), node.id, told, self.state.values.get(node.id), error))
            error = None  # of the first one
            for reader, guards in self._ready.decided(node):
                if not all(map(self.state.holds, guards)):
                    decided.append((reader, "skipped"))
                elif guards and reader.id in self.state.values and not self.state.undecided(reader):
                    decided.append((reader, "done"))

    def _now(self) -> float:
        return time.perf_counter() - self.began

    def _mocked(self, node: str, mock: int) -> None:
        self._tell(MockAnswered(self._now(), node, mock))

    def _tell(self, event: Event) -> None:
        self._log.append(event)
        self.listener(event)
