"""What every model call of a graph sends: its prompt, and from which token its adapter is active.

The same walk serves the plan and the run: what is known is tokens, what is not is a hole.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING

from alora_flow.frozen import dataclass
from alora_flow.language.meaning.program import Intrinsic
from alora_flow.planning.evaluate import Values, thread_of
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Node
from alora_flow.prompts.contents import Hole, Symbol, Thread
from alora_flow.prompts.writing import Writing

if TYPE_CHECKING:  # a flow that calls no model pays for none of these
    from alora_flow.intrinsics.contract import Contract
    from alora_flow.intrinsics.library import ModelFiles
    from alora_flow.planning.answer_form import AnswerForm
    from alora_flow.planning.callees import OwnCalls
    from alora_flow.planning.model_parts import ModelParts
    from alora_flow.prompts.thread import Prompter


class Setup:
    """What a graph needs to know of the model that it runs on. It is looked for when it is first asked for: a flow that
    calls no model needs none."""

    def __init__(self, find: Callable[[], ModelParts]) -> None:
        """`find` raises BadInput where there is no model; so does each question then."""
        self._find = cache(find)
        self._forms: dict[Hashable, AnswerForm] = {}

    def bare(self) -> Setup:
        """The same model, without intrinsics."""
        return Setup(lambda: replace(self._find(), contracts={}))

    @property
    def model(self) -> ModelFiles:
        return self._find().model

    @property
    def prompter(self) -> Prompter:
        return self._find().prompter

    @property
    def positions(self) -> int | None:
        return self._find().positions

    @property
    def contracts(self) -> Mapping[str, Contract]:
        return self._find().contracts

    def contract(self, intrinsic: Intrinsic) -> Contract:
        """Raises AdapterNotFound or BadAdapter for one that can't be called."""
        return self._find().contract(intrinsic)

    def form(self, operation: g.Generate | g.Invoke) -> AnswerForm:
        """How a call's answer is limited and read; made once for all calls alike. Raises BadInput where its type has no
        grammar."""
        key: Hashable = (
            operation.intrinsic.key
            if isinstance(operation, g.Invoke)
            else (operation.as_type, operation.settings, operation.may_invoke)
        )
        if key not in self._forms:
            self._forms[key] = self._find().form(operation)
        return self._forms[key]

    def prompted(self, node: Node, operation: g.Generate | g.Invoke, thread: Thread, values: Values) -> PromptedCall:
        """What a call on a thread sends."""
        form = self.form(operation)
        if isinstance(operation, g.Invoke):
            return self._find().invocation(node, operation, thread, form, values)
        return self._find().generation(node, operation, thread, form)


@dataclass(frozen=True)
class Prompt:
    """A call's prompt: a thread, and what the call adds to it. The adapter of `contract` is active from symbol
    `active_from` on; None: the base model. `switches`: where further adapters begin, by their digests, ascending."""

    thread: Writing
    added: tuple[Symbol, ...]
    contract: Contract | None = None
    active_from: int | None = None
    switches: tuple[tuple[int, str | None], ...] = ()

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
        for start, digest in reversed(self.switches):
            if place >= start:
                return digest
        active = self.contract is not None and self.active_from is not None and place >= self.active_from
        return self.contract.adapter.digest if self.contract and active else None


@dataclass(frozen=True)
class PromptedCall:
    """A model call with its thread and its prompt, as far as these are known. `named`: the thread that the flow names,
    where an intrinsic's library has it said otherwise in `thread`. `own`: what it may call itself while it writes."""

    node: Node
    thread: Thread
    prompt: Prompt
    form: AnswerForm
    named: Thread | None = None
    own: OwnCalls | None = None

    @cached_property
    def reply(self) -> Hole:
        """What stands for all that a generation leaves in its thread, before it has."""
        longest = self.own.longest if self.own else 0
        budget = self.own.may.budget if self.own else 0
        return Hole(self.node.id, None if longest is None else self.form.most_tokens + budget * longest)


def call_of(node: Node, setup: Setup, values: Values) -> PromptedCall:
    """What a model call sends, by what is known of the values that it reads."""
    operation = node.operation
    assert isinstance(operation, (g.Generate, g.Invoke))
    return setup.prompted(node, operation, thread_of(operation.thread, values), values)
