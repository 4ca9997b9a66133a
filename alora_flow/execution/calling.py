"""An answer and all that is called in the middle of it: one request after the other, each planned and counted like any
call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from alora_flow.errors import RunFailed, TimedOut
from alora_flow.execution.events import Event, ModelAnswered, ModelCalled, ModelReturned
from alora_flow.execution.replies import contents_of
from alora_flow.execution.scripts import UNKNOWN, Script, answer_of
from alora_flow.execution.work import check_ended
from alora_flow.language.meaning.program import Argument, Intrinsic, Literal, MayInvoke, ToolDecl
from alora_flow.planning.clauses import back
from alora_flow.planning.evaluate import Values, text_of_value
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.prompts import Prompt, PromptedCall
from alora_flow.prompts.contents import Content, Generated, KnownText, Turn
from alora_flow.prompts.results import asked, given, result_symbols
from alora_flow.values.data import OwnCall, Reply
from alora_flow.values.names import field_of
from alora_flow.values.written import normalised
from alora_runtime.calls.records import Called, Caller, Return
from alora_runtime.calls.stack import CallStack
from alora_runtime.requests import Completion, Request, Run

if TYPE_CHECKING:  # a flow that calls no model pays for none of these
    from alora_flow.intrinsics.contract import Contract
    from alora_flow.planning.callees import Invocable
    from alora_flow.prompts.thread import Prompter


class Calling:
    """Says which request comes next, until there is a value."""

    def __init__(
        self,
        call: PromptedCall,
        request: Request,
        seeds: Mapping[str, int],
        prompter: Prompter,
        script: Script | None = None,
    ) -> None:
        """`request`: how the answer begins. `seeds`: of the callees' answers, by the callees' keys. `script`: what is
        written instead of what a model would write."""
        assert call.own is not None
        self.call, self._own, self._prompter, self._tokenizer = call, call.own, prompter, prompter.tokenizer
        limits = {key: {"seed": seeds[key], **one.form.limits({})} for key, one in self._own.by_key.items()}
        callees = [one.callee(self._tokenizer, limits[key]) for key, one in self._own.by_key.items()]
        invokes = [one.key for one in self._own.may.callees]
        caller = Caller(request, callees, self._own.may.budget, self._own.depth, invokes=invokes)
        control = map(self._tokenizer.control_token, self._tokenizer.control)
        self._stack = CallStack(caller, {token for token in control if token is not None})
        self._thread, self._writing = call.thread, call.prompt.thread
        self._reply: tuple[Sequence[int], str] = (), ""  # as far as it is written
        self._open = 0, 0  # where in it, in tokens and letters, the turn begins that is open
        self._kept: list[tuple[Called, tuple[int, ...]]] = []  # calls in that turn, and what they left
        self._invocation: tuple[int, ...] = ()  # that was written last
        self._made: dict[int, OwnCall] = {}  # by the number of the call
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
        request, under_way = self._stack.request, self.under_way
        assert request is not None
        added = tuple(token for run in request.runs for token in run.tokens)[self._writing.length :]
        starts = accumulate((len(run.tokens) for run in request.runs), initial=0)
        runs = [(start, run.adapter) for start, run in zip(starts, request.runs, strict=False) if run.tokens]
        switches = tuple(one for one, before in zip(runs, [(0, None), *runs], strict=False) if one[1] != before[1])
        one = None if under_way is None else self._own.by_key[under_way.name]
        contract = self._contract
        prompt = Prompt(self._writing, added, contract, switches[0][0] if switches else None, switches)
        if one is None:
            return replace(self.call, prompt=prompt)
        node = self.call.node
        if isinstance(one.called, Intrinsic):
            node = replace(node, operation=g.Invoke(self._operation.thread, one.called, ()))
        return PromptedCall(node, self.call.thread, prompt, one.form)

    @property
    def _contract(self) -> Contract | None:
        """Of the adapter that writes now: a tool's arguments are written by whoever calls it."""
        writing = (self._own.by_key[one.name].contract for one in reversed(self._stack.calls) if one.answer is None)
        return next((contract for contract in writing if contract), self.call.prompt.contract)

    @property
    def _operation(self) -> g.Generate | g.Invoke:
        operation = self.call.node.operation
        assert isinstance(operation, g.MODEL_CALLS)
        return operation

    def known(self, mocked: Callable[[Intrinsic], Any]) -> Completion | None:
        """What comes of `request`, where a test says so. `mocked`: a callee's value, or UNKNOWN."""
        under_way = self.under_way
        if under_way is None:
            return self._script.next(self.request, self._tokenizer) if self._script and self.request else None
        called = self._own.by_key[under_way.name].called
        if isinstance(called, ToolDecl):
            scripted = self._script is not None and under_way.depth == 1
            return answer_of(self._script.arguments, self._tokenizer) if scripted and self._script else None
        value = mocked(called)
        if value is UNKNOWN:
            return None
        self._mocked[len(self._stack.calls) - 1] = value
        return answer_of(value, self._tokenizer)

    @property
    def begins_call(self) -> bool:
        """Is `request` the first one of a call?"""
        return self.under_way is not None and self.request is not None and self.request.resumes is None

    @property
    def callee(self) -> Intrinsic | ToolDecl:
        """Who is being called."""
        called = self.under_way
        assert called is not None
        return self._own.by_key[called.name].called

    def begun(self, at: float) -> ModelCalled:
        """What is told of a call that begins."""
        called = self.under_way
        assert called is not None
        return ModelCalled(at, self.call.node.id, called.name, called.depth, called.text)

    def receive(self, completion: Completion) -> None:
        """What came of `request`."""
        if completion.suspended is not None and self.under_way is None:
            self._invocation = tuple(completion.suspended.invocation)
            self._reply = completion.tokens, completion.text
        self._stack.receive(completion)

    # ---------------------------------------------------------------- a call that is answered

    @property
    def answered(self) -> Called | None:
        """The call whose value is wanted now."""
        return self._stack.call

    @property
    def tool(self) -> g.Node | None:
        """The tool that is to be asked for this value, as a node that does so. Raises RunFailed where what the model
        wrote are no arguments."""
        called = self._stack.call
        one = self._own.by_key[called.name] if called else None
        if called is None or one is None or not isinstance(one.called, ToolDecl):
            return None
        written, node, tool = self._read(called, one), self.call.node, one.called
        arguments = tuple(
            Argument(item.name, Literal(item.type, node.span, field_of(written, item.name))) for item in tool.parameters
        )
        key = g.key_of(tool)
        rules = tuple(
            g.MockRule(rule.number, rule.arguments, rule.values)
            for rule in node.mocks
            if isinstance(rule, g.CalleeMock) and rule.callee == key
        )
        return g.Node(node.id, g.Tool(tool, arguments), tool.result, (), node.span, rules)

    def value(self) -> Any:
        """What the intrinsic has answered. Raises RunFailed where that is no value."""
        called = self._stack.call
        assert called is not None
        number = self._stack.calls.index(called)
        return self._mocked[number] if number in self._mocked else self._read(called, self._own.by_key[called.name])

    def failed(self, error: RunFailed) -> RunFailed:
        """Why there is no value, with who asked for it."""
        called, node = self._stack.call, self.call.node
        assert called is not None
        name = self._own.by_key[called.name].called.name
        kind = TimedOut if isinstance(error, TimedOut) else RunFailed
        told = kind(f"'{node.id}' (line {node.span.line}) has called '{name}': {error.message}", error.help)
        told.traceback = error.traceback
        return told

    def settle(self, value: Any, values: Values, at: float) -> Iterator[Event]:
        """The call's value is there; what is told of it. `values`: of the flow. Raises RunFailed where a clause can't
        decide."""
        called, node = self._stack.call, self.call.node.id
        assert called is not None
        assert called.answer is not None
        one, number = self._own.by_key[called.name], self._stack.calls.index(called)
        how = back(self._caller_of(number), one.key, value, values)
        self._made[number] = _own_call(called, one, value, how)
        onward, behind = None, list[Any]()
        text, arguments = called.answer.text, ""
        if isinstance(one.called, ToolDecl):
            text, arguments = text_of_value(value, one.called.result), text
            if how == "keep" and called.depth == 1 and isinstance(self._operation, g.Generate):
                onward = self._turned(called, one, text)
            elif how == "keep":
                behind = [*one.closing, *result_symbols(self._prompter, self._thread, KnownText(text), one.asking)]
        elif how == "keep" and called.depth == 1:
            self._kept.append((called, (*self._invocation, *self._stack.kept(called))))
        self._stack.decide(how, onward, behind)
        yield ModelAnswered(at, node, called.name, called.depth, text, value, arguments)
        yield ModelReturned(at, node, called.name, called.depth, how)

    def _caller_of(self, number: int) -> MayInvoke:
        """Under which permission a call was made."""
        depth = self._stack.calls[number].depth
        caller = next((one for one in reversed(self._stack.calls[:number]) if one.depth == depth - 1), None)
        may = self._own.may if caller is None else self._own.by_key[caller.name].may
        assert may is not None
        return may

    def _read(self, called: Called, one: Invocable) -> Any:
        assert called.answer is not None
        assert one.form.read is not None
        return one.form.read(called.answer)

    def _turned(self, called: Called, one: Invocable, result: str) -> list[Run]:
        """What the model goes on from when a tool's result came back: its own turn up to there is closed, the result is
        a turn of data, and a new turn of its own is open."""
        form, said = one.asking, tuple(part for part in self._contents(*self._reply) if part.tokens)
        calling, arguments = self._invocation, tuple(self._stack.kept(called))
        if form is not None and form.apart and (form.says or form.thoughts or not said):
            text = self._tokenizer.spell(tuple(token for part in said for token in part.tokens))
            turn = asked(form, self._thread, said, text, self._tokenizer.spell(arguments))
        else:
            asking = (*calling, *arguments, *one.closing)
            turn = Turn("assistant", (*said, Generated(asking, self._tokenizer.spell(asking))))
        answered = given(form, turn, KnownText(result), one.call_id(self._tokenizer.spell(calling)))
        self._thread = self._thread.then(turn, answered)
        self._writing = self._prompter.writing(self._thread)
        self._kept, self._open = [], (called.place, len(called.text))
        symbols: tuple[Any, ...] = self._writing.symbols  # all of it is known
        return [Run(symbols + self._prompter.generation_tokens(self._thread))]

    # ---------------------------------------------------------------- the end

    def result(self) -> Any:
        """The value of it all. Raises RunFailed where it came to no end, or to no value."""
        exchange, node, read = self._stack.exchange, self.call.node, self.call.form.read
        assert exchange is not None
        completion = exchange.completion
        check_ended(node, self._stack.caller.request, completion)
        if read is not None and self.call.form.constraint is not None and completion.finish == "invoked":
            last = self._own.by_key[exchange.calls[-1].name].called.name
            why = f"the clause for '{last}' stopped it before there was a {node.type}: {completion.text!r}"
            raise RunFailed(
                f"'{node.id}' (line {node.span.line}): {why}",
                "let the model go on, or say with 'else' what there is then",
            )
        if read is not None:
            return read(completion)
        made = [self._made[number] for number in sorted(self._made)]
        return Reply(completion.text, self._thread.then(Turn("assistant", tuple(self._ended(completion)))), made)

    def _ended(self, completion: Completion) -> Iterator[Content]:
        """What the last turn holds of a whole reply."""
        *before, rest = self._contents(completion.tokens, completion.text)
        assert isinstance(rest, Generated)
        yield from before
        yield from contents_of(replace(completion, tokens=rest.tokens, text=rest.text), self._tokenizer)

    def _contents(self, tokens: Sequence[int], text: str) -> Iterator[Generated]:
        """What the open turn holds of a reply so far, with the calls that were kept where they were made."""
        start, letters = self._open
        for called, written in self._kept:
            if len(called.text) <= len(text):  # else a stop string has taken back what it stands behind
                yield Generated(tuple(tokens[start : called.place]), text[letters : len(called.text)])
                yield Generated(written, self._tokenizer.spell(written))
                start, letters = called.place, len(called.text)
        yield Generated(tuple(tokens[start:]), text[letters:])


def _own_call(called: Called, one: Invocable, value: Any, how: Return) -> OwnCall:
    answer = called.answer
    assert answer is not None
    temperature = 1.0 if one.contract is None else one.contract.temperature
    weights = normalised(answer.choice_logprobs, temperature) if answer.choice_logprobs else ()
    return OwnCall(
        one.called.name,
        value,
        len(called.text),
        called.place,
        called.depth,
        dict(zip(one.form.texts, weights, strict=True)) if weights else {},
        answer.prefilled + answer.generated + answer.forced,
        how,
    )
