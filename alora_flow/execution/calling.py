"""A generation and all that it calls by itself: one request after the other, each planned and counted like any call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from alora_flow.errors import RunFailed
from alora_flow.execution.events import Event, ModelAnswered, ModelCalled, ModelReturned
from alora_flow.execution.replies import contents_of
from alora_flow.execution.scripts import UNKNOWN, Script, answer_of
from alora_flow.language.meaning.program import Intrinsic
from alora_flow.planning.evaluate import Values
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.prompts import Prompt, PromptedCall
from alora_flow.prompts.contents import Content, Generated, Turn
from alora_flow.values.data import OwnCall, Reply
from alora_flow.values.written import normalised
from alora_runtime.calls.records import Called, Caller, Return
from alora_runtime.calls.stack import CallStack
from alora_runtime.requests import Completion, Request

if TYPE_CHECKING:
    from alora_flow.prompts.tokens import Tokenizer


class Calling:
    """Says which request comes next, until there is a reply."""

    def __init__(
        self,
        call: PromptedCall,
        request: Request,
        seeds: Mapping[str, int],
        tokenizer: Tokenizer,
        script: Script | None = None,
    ) -> None:
        """`request`: how the generation begins. `seeds`: of the callees' answers, by the callees' keys. `script`: what
        is written instead of what a model would write."""
        assert call.own is not None
        self.call, self._own, self._tokenizer = call, call.own, tokenizer
        self.invocables = {one.intrinsic.key: one for one in call.own.invocables}
        limits = {key: {"seed": seeds[key], **one.form.limits({})} for key, one in self.invocables.items()}
        callees = [one.callee(tokenizer, limits[key]) for key, one in self.invocables.items()]
        caller = Caller(request, callees, call.own.may.budget)
        control = map(tokenizer.control_token, tokenizer.control)
        self._stack = CallStack(caller, {token for token in control if token is not None})
        self._invocation: tuple[int, ...] = ()  # that the generation wrote last
        self._kept: list[tuple[Called, tuple[int, ...]]] = []
        self._made: list[OwnCall] = []
        self._script = script
        self._mocked: dict[int, Any] = {}  # values of calls, by their numbers

    @property
    def under_way(self) -> Called | None:
        """The call that is being answered; None while the generation itself writes."""
        return next((call for call in reversed(self._stack.calls) if call.answer is None), None)

    @property
    def request(self) -> Request | None:
        """What is to be answered now; None where all is done."""
        return self._stack.request

    @property
    def prompted(self) -> PromptedCall:
        """`request` as a call like any other: of an adapter, or of the generation itself."""
        request, under_way, thread = self._stack.request, self.under_way, self.call.prompt.thread
        assert request is not None
        added = tuple(token for run in request.runs for token in run.tokens)[thread.length :]
        if under_way is None:
            return replace(self.call, prompt=Prompt(thread, added))
        starts = accumulate((len(run.tokens) for run in request.runs), initial=0)
        adapted = [(start, run.adapter) for start, run in zip(starts, request.runs, strict=False) if run.adapter]
        one = self.invocables[under_way.name]
        operation = g.Invoke(self.call.node.operation.thread, one.intrinsic, ())  # type: ignore[union-attr]
        prompt = Prompt(thread, added, one.contract, adapted[-1][0], tuple(adapted))
        return PromptedCall(replace(self.call.node, operation=operation), self.call.thread, prompt, one.form)

    def known(self, mocked: Callable[[Intrinsic], Any]) -> Completion | None:
        """What comes of `request`, where a test says so. `mocked`: a callee's value, or UNKNOWN."""
        under_way = self.under_way
        if under_way is None:
            return self._script.next(self.request, self._tokenizer) if self._script and self.request else None
        value = mocked(self.invocables[under_way.name].intrinsic)
        if value is UNKNOWN:
            return None
        self._mocked[len(self._stack.calls) - 1] = value
        return answer_of(value, self._tokenizer)

    @property
    def begins_call(self) -> bool:
        """Is `request` the first one of a call?"""
        return self.under_way is not None and self.request is not None and self.request.resumes is None

    def begun(self, at: float) -> ModelCalled:
        """What is told of a call that begins."""
        called = self.under_way
        assert called is not None
        return ModelCalled(at, self.call.node.id, called.name, called.depth, called.text)

    def receive(self, completion: Completion, values: Values, at: float) -> Iterator[Event]:
        """What came of `request`; what is told of the calls that it ends. Raises RunFailed where one gives no value."""
        node = self.call.node.id
        if completion.suspended is not None and self.under_way is None:
            self._invocation = tuple(completion.suspended.invocation)
        self._stack.receive(completion)
        while (called := self._stack.call) is not None:
            value = self._value(called)
            back = self._own.back(self.invocables[called.name].intrinsic, value, values)
            self._made.append(self._own_call(called, value, back))
            if back == "keep" and called.depth == 1:
                self._kept.append((called, (*self._invocation, *self._stack.kept(called))))
            self._stack.decide(back)
            assert called.answer is not None
            yield ModelAnswered(at, node, called.name, called.depth, called.answer.text, value)
            yield ModelReturned(at, node, called.name, called.depth, back)

    def reply(self) -> Reply:
        """What came of it all. Raises RunFailed where it came to no end."""
        exchange, node = self._stack.exchange, self.call.node
        assert exchange is not None
        error = exchange.completion.error
        if error is not None:
            raise RunFailed(f"'{node.id}' (line {node.span.line}): {error}") from error
        turn = Turn("assistant", tuple(self._contents(exchange.completion)))
        return Reply(exchange.completion.text, self.call.thread.then(turn), self._made)

    # ---------------------------------------------------------------- parts

    def _contents(self, completion: Completion) -> Iterator[Content]:
        """What a whole reply leaves in its thread, with the calls that were kept where they were made."""
        tokens, letters = 0, 0
        for called, written in self._kept:
            if len(called.text) <= len(completion.text):  # else a stop string has taken back what it stands behind
                yield Generated(completion.tokens[tokens : called.place], completion.text[letters : len(called.text)])
                yield Generated(written, self._tokenizer.spell(written))
                tokens, letters = called.place, len(called.text)
        rest = replace(completion, tokens=completion.tokens[tokens:], text=completion.text[letters:])
        yield from contents_of(rest, self._tokenizer)

    def _value(self, called: Called) -> Any:
        one, node = self.invocables[called.name], self.call.node
        number = self._stack.calls.index(called)
        if number in self._mocked:
            return self._mocked[number]
        assert called.answer is not None
        assert one.form.read is not None
        try:
            return one.form.read(called.answer)
        except RunFailed as error:
            said = f"'{node.id}' (line {node.span.line}) has called '{one.intrinsic.name}': {error.message}"
            raise RunFailed(said, error.help) from error

    def _own_call(self, called: Called, value: Any, back: Return) -> OwnCall:
        answer, one = called.answer, self.invocables[called.name]
        assert answer is not None
        weights = normalised(answer.choice_logprobs, one.contract.temperature) if answer.choice_logprobs else ()
        return OwnCall(
            one.intrinsic.name,
            value,
            len(called.text),
            called.place,
            called.depth,
            dict(zip(one.form.texts, weights, strict=True)) if weights else {},
            answer.prefilled + answer.generated + answer.forced,
            back,
        )
