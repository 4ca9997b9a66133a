"""What a graph needs of the model that it runs on. Imported, by its name, when a flow first calls the model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import field, replace
from functools import cached_property, partial
from pathlib import Path

from alora_flow.errors import AdapterNotFound, BadAdapter, BadInput, BadModel
from alora_flow.frozen import dataclass
from alora_flow.intrinsics.contract import Contract, resolve
from alora_flow.intrinsics.library import ModelFiles
from alora_flow.language.meaning.program import Expression, Intrinsic, MayInvoke, Program, ToolDecl
from alora_flow.planning.answer_form import AnswerForm, form_of_generation, form_of_intrinsic
from alora_flow.planning.callees import (
    Invocable,
    OwnCalls,
    arguments_type,
    check_distinct,
    check_goes_on,
    check_invocable,
)
from alora_flow.planning.evaluate import Values, known
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Node
from alora_flow.planning.invoking import Invocation, invoke
from alora_flow.planning.prefix.amounts import Amount, amount
from alora_flow.planning.prompts import Prompt, PromptedCall
from alora_flow.prompts.contents import Hole, Thread
from alora_flow.prompts.requesting import CallForm, call_form, writes_calls
from alora_flow.prompts.results import result_symbols
from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import Prompter
from alora_flow.prompts.tokens import Tokenizer
from alora_runtime.answer.interruptible import Interruptible
from alora_runtime.compute.support import read_model_folder
from alora_runtime.errors import ConstraintError, ModelError


@dataclass(frozen=True)
class ModelParts:
    """A model's files, and its tokenizer with its chat template. contracts, unusable: by an intrinsic's key, what it
    agrees to, or why it can't be called on this model. tools: by key, what their declarations say that invokes them."""

    model: ModelFiles
    prompter: Prompter
    contracts: Mapping[str, Contract]
    unusable: Mapping[str, BadInput] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)

    @property
    def positions(self) -> int | None:
        """The longest sequence that the model takes, in tokens; None where its configuration does not tell us."""
        try:
            return read_model_folder(self.model.folder).max_positions
        except ModelError:  # a model that another backend may serve
            return None

    def contract(self, intrinsic: Intrinsic) -> Contract:
        """Raises AdapterNotFound or BadAdapter for one that can't be called."""
        if intrinsic.key in self.unusable:
            error = self.unusable[intrinsic.key]
            raise type(error)(error.message, error.help)
        return self.contracts[intrinsic.key]

    def form(self, operation: g.Generate | g.Invoke) -> AnswerForm:
        """How a call's answer is limited and read. An answer that is not one of a few ends where the template ends a
        turn, whatever the model's own end is. Raises BadInput where its type has no grammar."""
        try:
            form = self._form(operation)
        except ConstraintError as error:  # a range too narrow to be written
            raise BadInput(f"line {operation.thread.span.line}: {error}") from error
        may, end = self._may(operation), self.prompter.turn_end
        if may is not None:
            form = self._interruptible(form, operation, may)
        if form.choices is not None:
            return form
        keys = [one.key for one in may.callees] if may else []
        settings = {**form.settings, "masked_tokens": self._uncalled(keys)}
        return replace(form, settings=settings if end is None else {**settings, "stop_tokens": (end,)})

    def _may(self, operation: g.Generate | g.Invoke) -> MayInvoke | None:
        """What a call may call while it writes."""
        if isinstance(operation, g.Generate):
            return operation.may_invoke
        return self.contract(operation.intrinsic).intrinsic.may_invoke

    def _interruptible(self, form: AnswerForm, operation: g.Generate | g.Invoke, may: MayInvoke) -> AnswerForm:
        """The form of an answer in which is called. Raises BadInput where a call can't be told from it."""
        line = operation.thread.span.line
        if form.choices is None and form.constraint is None:
            return form
        if form.weighed:
            who = operation.intrinsic.name if isinstance(operation, g.Invoke) else "generate"
            said = f"line {line}: '{who}' gives a distribution, and there is none over what is written with calls in it"
            raise BadInput(said, "take a plain value, or call in the flow what it may invoke")
        invocations = {one: self._invocation(one, operation.thread) for one in may.callees}
        for one, tokens in invocations.items():
            if not self._control(tokens) >= {*tokens}:
                spelt = self.prompter.tokenizer.spell(tokens)
                said = f"line {line}: '{one.name}' is invoked by {spelt!r}, which may be part of a typed answer"
                raise BadInput(said, "invoke it by control tokens, or leave out the type")
        form, most = form.decoded(), max(map(len, invocations.values()), default=0)
        assert form.constraint is not None
        constraint = Interruptible(form.constraint, tuple(invocations.values()))
        # What invokes counts as written.
        return replace(form, constraint=constraint, most_tokens=form.most_tokens + may.budget * most)

    def _uncalled(self, keys: Collection[str]) -> tuple[int, ...]:
        """The control tokens that invoke intrinsics, and tools whose declarations say so, but for those of these keys:
        never written by a model, unless the chat template writes them itself."""
        own = {key: self._control(contract.invocation) for key, contract in self.contracts.items()}
        own |= {key: self._control(self.prompter.tokenizer.encode_control(text)) for key, text in self.tools.items()}
        called = frozenset[int]().union(*(tokens for key, tokens in own.items() if key in keys))
        return tuple(sorted(frozenset[int]().union(*own.values()) - called - self._of_turns))

    def _control(self, symbols: Iterable[object]) -> frozenset[int]:
        is_control = self.prompter.tokenizer.is_control
        return frozenset(one for one in symbols if isinstance(one, int) and is_control(one))

    @cached_property
    def _of_turns(self) -> frozenset[int]:
        """The control tokens that stand around turns."""
        written = ""
        with suppress(BadModel):  # of a template that takes no such turns
            written = self.prompter.template.render(("user", "assistant", "user"), ("", "", ""), generation=True)
        return self._control(self.prompter.tokenizer.encode_control(written))

    def generation(self, node: Node, operation: g.Generate, thread: Thread, form: AnswerForm) -> PromptedCall:
        """A thread is closed turns; a generation opens the assistant's."""
        prompt = Prompt(self.prompter.writing(thread), self.prompter.generation_tokens(thread))
        return PromptedCall(node, thread, prompt, form, own=self.own_calls(operation, thread))

    def own_calls(self, operation: g.Generate | g.Invoke, thread: Thread) -> OwnCalls | None:
        """What a call may call while it writes, and what that may in turn. Raises BadInput where it can't."""
        may = self._may(operation)
        if may is None:
            return None
        line, tokenizer, end = operation.thread.span.line, self.prompter.tokenizer, self.prompter.turn_end
        found: dict[str, Invocable] = {}
        waiting = [*may.callees]
        for called in waiting:  # which grows
            if called.key not in found:
                found[called.key] = one = self._invocable(called, operation.thread, thread)
                check_invocable(one, line, () if end is None else (end,), tokenizer)
                waiting += one.may.callees if one.may else ()
        check_distinct([*found.values()], line, tokenizer)
        callers = [one.contract for one in found.values() if one.contract]
        callers += [self.contract(operation.intrinsic)] if isinstance(operation, g.Invoke) else []
        for contract in callers:
            check_goes_on(contract, result_symbols(self.prompter, thread, Hole("result")), line, tokenizer)
        return OwnCalls(may, tuple(found.values()))

    def _invocable(self, called: Intrinsic | ToolDecl, place: Expression, thread: Thread) -> Invocable:
        """`place`: where in the flow it is called; `thread`: behind which a tool's result comes back."""
        tokens = self._invocation(called, place)
        control = self._control(tokens)
        if isinstance(called, ToolDecl):
            form = self.form(g.Generate(place, (), arguments_type(called), None))
            asking = self._asking(called)
            closing = self.prompter.tokenizer.encode_control(asking.behind) if asking else ()
            turned = self._turned(called, thread, asking) + Amount(len(closing))
            return Invocable(called, form, tokens, control >= {*tokens}, None, closing, turned, asking)
        contract = self._contract_at(called, place)
        form = self.form(g.Invoke(place, contract.intrinsic, ()))
        return Invocable(contract.intrinsic, form, tokens, bool(control), contract)

    def _asking(self, tool: ToolDecl) -> CallForm | None:
        """How the template writes a call of a tool, unless its declaration says what calls it."""
        if tool.invoke is not None:
            return None
        end = self.prompter.turn_end
        ends = "" if end is None else self.prompter.tokenizer.spell((end,))
        return call_form(self.prompter.template, tool.name, ends)

    def _invocation(self, called: Intrinsic | ToolDecl, place: Expression) -> tuple[int, ...]:
        """What a model writes to call it. Raises BadInput where nobody says how a tool is called."""
        encode = self.prompter.tokenizer.encode_control
        if isinstance(called, Intrinsic):
            invocation = self._contract_at(called, place).invocation
            return tuple(piece for piece in invocation if isinstance(piece, int))
        if called.invoke is not None:
            tokens = encode(called.invoke)
            if self.prompter.tokenizer.spell(tokens).strip() != called.invoke.strip():
                said = f"line {place.span.line}: the model cannot invoke '{called.name}': "
                said += f"{called.invoke!r} is not in the vocabulary of {self.model.name}"
                raise BadInput(said, "invoke it by what the model can write, a control token of its own best")
            return tokens
        form = self._asking(called)
        if form is None:
            said = f"line {place.span.line}: the model cannot invoke '{called.name}': "
            known = writes_calls(self.prompter.template)
            why = "writes no call with all arguments as one JSON object" if known else "has no form for calls of tools"
            said += f"the chat template of {self.model.name} {why}"
            help = f'say what it writes for that: tool {called.name}(…) … with (invoke: "<{called.name}>")'
            raise BadInput(said, help)
        return encode(next(iter(form.befores)))

    def _contract_at(self, called: Intrinsic, place: Expression) -> Contract:
        """The contract of what is called at a place. Raises AdapterNotFound or BadAdapter with the line."""
        try:
            return self.contract(called)
        except (AdapterNotFound, BadAdapter) as error:
            raise type(error)(f"line {place.span.line}: {error.message}", error.help) from error

    def _turned(self, tool: ToolDecl, thread: Thread, asking: CallForm | None) -> Amount:
        """How many tokens a result's turn adds, with what closes the turn before and opens the one behind it."""
        return amount(result_symbols(self.prompter, thread, Hole(f"{tool.name}()"), asking))

    def invocation(
        self, node: Node, operation: g.Invoke, thread: Thread, form: AnswerForm, values: Values
    ) -> PromptedCall:
        """An intrinsic is invoked behind the thread, as its library wants it."""
        contract = self.contract(operation.intrinsic)
        said = self._invoked(operation, thread, contract, values)
        start = said.active_from if contract.adapter.activated else 0
        if form.read is not None and (operation.arguments or said.sentences):
            arguments = {item.name: known(item.value, values) for item in operation.arguments}
            form = replace(form, read=partial(form.read, arguments=arguments, sentences=said.sentences))
        prompt = Prompt(said.writing, said.tail, contract, start)
        return PromptedCall(node, said.thread, prompt, form, thread, self.own_calls(operation, said.thread))

    def _invoked(self, operation: g.Invoke, thread: Thread, contract: Contract, values: Values) -> Invocation:
        """Without arguments the same for all calls on one thread, which remembers it."""
        if operation.arguments or not thread:
            return invoke(operation, thread, contract, self.prompter, values)
        key = self.prompter, operation.intrinsic.key
        if key not in thread.notes:
            thread.notes[key] = invoke(operation, thread, contract, self.prompter, values)
        found: Invocation = thread.notes[key]
        return found

    def _form(self, operation: g.Generate | g.Invoke) -> AnswerForm:
        if isinstance(operation, g.Invoke):
            return form_of_intrinsic(self.contract(operation.intrinsic), self.prompter.tokenizer)
        return form_of_generation(operation.as_type, operation.settings, self.prompter.tokenizer)


def open_parts(program: Program, model: ModelFiles, near: Path) -> ModelParts:
    """With the contracts of all intrinsics of a program, imported ones too. What is wrong with one need not care flows
    that don't call it. `near`: the program's folder. Raises BadModel."""
    tokenizer = Tokenizer(model.folder)
    prompter = Prompter(tokenizer, ChatTemplate(model.folder, tokenizer.control, model.file))
    contracts: dict[str, Contract] = {}
    unusable: dict[str, BadInput] = {}
    for key, intrinsic in program.intrinsics.items():
        try:
            contracts[key] = resolve(intrinsic, model, tokenizer, near)
        except (AdapterNotFound, BadAdapter) as error:
            unusable[key] = error
    tools = {key: tool.invoke for key, tool in program.tools.items() if tool.invoke is not None}
    return ModelParts(model, prompter, contracts, unusable, tools)
