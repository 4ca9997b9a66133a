"""What every model call of a graph sends: its prompt, and from which token its adapter is active.

The same walk serves the plan and the run: what is known is tokens, what is not is a hole.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace

from alora_flow.errors import BadInput
from alora_flow.intrinsics.contract import Contract
from alora_flow.intrinsics.library import ModelFiles
from alora_flow.language.meaning.program import Intrinsic
from alora_flow.planning.answer_form import AnswerForm, form_of_generation, form_of_intrinsic
from alora_flow.planning.evaluate import Values, thread_of
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Node
from alora_flow.prompts.thread import Prompter, Symbol, Thread
from alora_runtime.errors import ConstraintError


@dataclass(frozen=True)
class Setup:
    """What a graph needs to know of the model that it runs on. contracts, unusable: by an intrinsic's key, what it
    agrees to, or why it can't be called on this model."""

    model: ModelFiles
    prompter: Prompter
    contracts: Mapping[str, Contract]
    unusable: Mapping[str, BadInput] = field(default_factory=dict)
    _forms: dict[Hashable, AnswerForm] = field(default_factory=dict, repr=False, compare=False)

    def contract(self, intrinsic: Intrinsic) -> Contract:
        """Raises AdapterNotFound or BadAdapter for one that can't be called."""
        if intrinsic.key in self.unusable:
            error = self.unusable[intrinsic.key]
            raise type(error)(error.message, error.help)
        return self.contracts[intrinsic.key]

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
            return form_of_intrinsic(self.contract(operation.intrinsic), self.prompter.tokenizer)
        return form_of_generation(operation.as_type, operation.settings, self.prompter.tokenizer)


@dataclass(frozen=True)
class Prompt:
    """A call's prompt. The adapter of `contract` is active from symbol `active_from` on; None: the base model."""

    symbols: tuple[Symbol, ...]
    contract: Contract | None = None
    active_from: int | None = None

    def adapters(self) -> tuple[str | None, ...]:
        """The digest of the adapter that each symbol is computed under."""
        start = len(self.symbols) if self.active_from is None else self.active_from
        digest = self.contract.adapter.digest if self.contract else None
        return (None,) * start + (digest,) * (len(self.symbols) - start)


@dataclass(frozen=True)
class PromptedCall:
    """A model call with its thread and its prompt, as far as these are known."""

    node: Node
    thread: Thread
    prompt: Prompt
    form: AnswerForm


def call_of(node: Node, setup: Setup, values: Values) -> PromptedCall:
    """What a model call sends, by what is known of the values that it reads."""
    operation = node.operation
    assert isinstance(operation, (g.Generate, g.Invoke))
    thread = thread_of(operation.thread, values)
    return PromptedCall(node, thread, _prompt(operation, thread, setup), setup.form(operation))


def _prompt(operation: g.Generate | g.Invoke, thread: Thread, setup: Setup) -> Prompt:
    """A thread is closed turns; a generation opens the assistant's, an intrinsic is invoked."""
    if isinstance(operation, g.Generate) and operation.may_invoke is not None:
        line = operation.thread.span.line
        raise BadInput(f"line {line}: calls by the model ('may invoke') can be checked, but not run yet")
    symbols = setup.prompter.thread_symbols(thread)
    if isinstance(operation, g.Generate):
        return Prompt(symbols + setup.prompter.generation_tokens(thread))
    contract = setup.contract(operation.intrinsic)
    symbols += setup.prompter.closing_tokens(thread)
    tail = contract.invocation or setup.prompter.generation_tokens(thread)
    start = len(symbols) + contract.active_at if contract.adapter.activated else 0
    return Prompt(symbols + tail, contract, start)
