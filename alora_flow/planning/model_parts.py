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
from alora_flow.language.meaning.program import Intrinsic, MayInvoke, Program
from alora_flow.planning.answer_form import AnswerForm, form_of_generation, form_of_intrinsic
from alora_flow.planning.callees import OwnCalls, check_distinct, check_kinds, invocable
from alora_flow.planning.evaluate import Values, known
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Node
from alora_flow.planning.invoking import Invocation, invoke
from alora_flow.planning.prompts import Prompt, PromptedCall
from alora_flow.prompts.contents import Thread
from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import Prompter
from alora_flow.prompts.tokens import Tokenizer
from alora_runtime.compute.support import read_model_folder
from alora_runtime.errors import ConstraintError, ModelError


@dataclass(frozen=True)
class ModelParts:
    """A model's files, and its tokenizer with its chat template. contracts, unusable: by an intrinsic's key, what it
    agrees to, or why it can't be called on this model."""

    model: ModelFiles
    prompter: Prompter
    contracts: Mapping[str, Contract]
    unusable: Mapping[str, BadInput] = field(default_factory=dict)

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
        end = self.prompter.turn_end
        if form.choices is not None:
            return form
        called = operation.may_invoke.callees if isinstance(operation, g.Generate) and operation.may_invoke else ()
        keys = [one.key for one in called]
        settings = {**form.settings, "masked_tokens": self._uncalled(keys)}
        return replace(form, settings=settings if end is None else {**settings, "stop_tokens": (end,)})

    def _uncalled(self, keys: Collection[str]) -> tuple[int, ...]:
        """The control tokens that invoke intrinsics, but for those of these keys: never written by a model, unless the
        chat template writes them itself."""
        own = {key: self._control(contract.invocation) for key, contract in self.contracts.items()}
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
        own = self.own_calls(operation, operation.may_invoke) if operation.may_invoke else None
        return PromptedCall(node, thread, prompt, form, own=own)

    def own_calls(self, operation: g.Generate, may: MayInvoke) -> OwnCalls:
        """What a generation may call. Raises BadInput where it can't."""
        line = operation.thread.span.line
        check_kinds(may, line)
        tokenizer, end = self.prompter.tokenizer, self.prompter.turn_end
        found = []
        for intrinsic in (one for one in may.callees if isinstance(one, Intrinsic)):
            contract = self.contract(intrinsic)
            form = self.form(g.Invoke(operation.thread, intrinsic, ()))
            found.append(invocable(contract, form, line, () if end is None else (end,), tokenizer))
        check_distinct(found, line, tokenizer)
        return OwnCalls(tuple(found), may)

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
        return PromptedCall(node, said.thread, Prompt(said.writing, said.tail, contract, start), form, thread)

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
    return ModelParts(model, prompter, contracts, unusable)
