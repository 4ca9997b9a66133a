"""What every model call of a graph sends: its prompt, and from which token its adapter is active.

The same walk serves the plan and the run: what is known is tokens, what is not is a hole.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from alora_flow.errors import BadInput
from alora_flow.planning.evaluate import Values, thread_of
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Node
from alora_flow.prompts.contents import Symbol, Thread

if TYPE_CHECKING:  # a flow that calls no model pays for none of these
    from alora_flow.intrinsics.contract import Contract
    from alora_flow.intrinsics.library import ModelFiles
    from alora_flow.planning.answer_form import AnswerForm
    from alora_flow.planning.model_parts import ModelParts
    from alora_flow.prompts.thread import Prompter


class Setup:
    """What a graph needs to know of the model that it runs on. It is looked for when it is first asked for: a flow that
    calls no model needs none."""

    def __init__(self, find: Callable[[], ModelParts]) -> None:
        """`find` raises BadInput where there is no model; so does each question then."""
        self._find = cache(find)
        self._forms: dict[Hashable, AnswerForm] = {}

    @property
    def model(self) -> ModelFiles:
        return self._find().model

    @property
    def prompter(self) -> Prompter:
        return self._find().prompter

    @property
    def contracts(self) -> Mapping[str, Contract]:
        return self._find().contracts

    def form(self, operation: g.Generate | g.Invoke) -> AnswerForm:
        """How a call's answer is limited and read; made once for all calls alike. Raises BadInput where its type has no
        grammar."""
        key: Hashable = (
            operation.intrinsic.key if isinstance(operation, g.Invoke) else (operation.as_type, operation.settings)
        )
        if key not in self._forms:
            self._forms[key] = self._find().form(operation)
        return self._forms[key]


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
    contract = setup.contracts[operation.intrinsic.key]
    symbols += setup.prompter.closing_tokens(thread)
    tail = contract.invocation or setup.prompter.generation_tokens(thread)
    start = len(symbols) + contract.active_at if contract.adapter.activated else 0
    return Prompt(symbols + tail, contract, start)
