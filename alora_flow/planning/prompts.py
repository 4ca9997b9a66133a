"""What every model call of a graph sends: its prompt, and from which token its adapter is active.

The same walk serves the plan and the run: what is known is tokens, what is not is a hole.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from alora_flow.errors import BadInput
from alora_flow.intrinsics.contract import Contract
from alora_flow.intrinsics.library import ModelFiles
from alora_flow.planning.answer_form import AnswerForm, form_of_generation, form_of_intrinsic
from alora_flow.planning.evaluate import Values, thread_of
from alora_flow.planning.evaluate import known as known_value
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Node
from alora_flow.planning.invoking import invoke
from alora_flow.prompts.thread import Prompter, Symbol, Thread
from alora_flow.prompts.writing import Writing
from alora_runtime.errors import ConstraintError


@dataclass(frozen=True)
class Setup:
    """What a graph needs to know of the model that it runs on; `contracts` by the intrinsic's key."""

    model: ModelFiles
    prompter: Prompter
    contracts: Mapping[str, Contract]
    _forms: dict[Hashable, AnswerForm] = field(default_factory=dict, repr=False, compare=False)

    def form(self, operation: g.Generate | g.Invoke) -> AnswerForm:
        """How a call's answer is limited and read; made once for all calls alike. Raises BadInput where its type has no
        grammar."""
        key: Hashable = (
            operation.intrinsic.key if isinstance(operation, g.Invoke) else (operation.as_type, operation.settings)
        )
        if key not in self._forms:
            try:
                self._forms[key] = self._ended(self._form(operation))
            except ConstraintError as error:  # a range too narrow to be written
                raise BadInput(f"line {operation.thread.span.line}: {error}") from error
        return self._forms[key]

    def _ended(self, form: AnswerForm) -> AnswerForm:
        """An answer that is not one of a few ends where the template ends a turn, whatever the model's own end is."""
        end = self.prompter.turn_end
        if end is None or form.choices is not None:
            return form
        return replace(form, settings={**form.settings, "stop_tokens": (end,)})

    def _form(self, operation: g.Generate | g.Invoke) -> AnswerForm:
        if isinstance(operation, g.Invoke):
            return form_of_intrinsic(self.contracts[operation.intrinsic.key], self.prompter.tokenizer)
        return form_of_generation(operation.as_type, operation.settings, self.prompter.tokenizer)


@dataclass(frozen=True)
class Prompt:
    """A call's prompt: a thread, and what the call adds to it. The adapter of `contract` is active from symbol
    `active_from` on; None: the base model."""

    thread: Writing
    added: tuple[Symbol, ...]
    contract: Contract | None = None
    active_from: int | None = None

    def __len__(self) -> int:
        return self.thread.length + len(self.added)

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        return self.thread.symbols + self.added

    def since(self, start: int) -> tuple[Symbol, ...]:
        """The symbols from one on."""
        return self.thread.since(start) + self.added[max(0, start - self.thread.length) :]

    def adapter_at(self, place: int) -> str | None:
        """The digest of the adapter that a symbol is computed under."""
        active = self.contract is not None and self.active_from is not None and place >= self.active_from
        return self.contract.adapter.digest if self.contract and active else None


@dataclass(frozen=True)
class PromptedCall:
    """A model call with its thread and its prompt, as far as these are known. `named`: the thread that the flow names,
    where an intrinsic's library has it said otherwise in `thread`."""

    node: Node
    thread: Thread
    prompt: Prompt
    form: AnswerForm
    named: Thread | None = None


def call_of(node: Node, setup: Setup, values: Values) -> PromptedCall:
    """What a model call sends, by what is known of the values that it reads."""
    operation = node.operation
    assert isinstance(operation, (g.Generate, g.Invoke))
    thread = thread_of(operation.thread, values)
    if isinstance(operation, g.Invoke):
        return _invocation(node, operation, thread, setup, values)
    if operation.may_invoke is not None:
        line = operation.thread.span.line
        raise BadInput(f"line {line}: calls by the model ('may invoke') can be checked, but not run yet")
    prompt = Prompt(setup.prompter.writing(thread), setup.prompter.generation_tokens(thread))
    return PromptedCall(node, thread, prompt, setup.form(operation))


def _invocation(node: Node, operation: g.Invoke, thread: Thread, setup: Setup, values: Values) -> PromptedCall:
    contract = setup.contracts[operation.intrinsic.key]
    said = invoke(operation, thread, contract, setup.prompter, values)
    start = said.active_from if contract.adapter.activated else 0
    form = setup.form(operation)
    if form.read is not None and (operation.arguments or said.sentences):
        known = {item.name: known_value(item.value, values) for item in operation.arguments}
        form = replace(form, read=partial(form.read, arguments=known, sentences=said.sentences))
    prompt = Prompt(said.writing, said.tail, contract, start)
    return PromptedCall(node, said.thread, prompt, form, thread)
