"""What a model call sends: its prompt, and from which token its adapter is active. What is known is tokens, what is not
is a hole."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from alora_flow.frozen import dataclass
from alora_flow.planning.graph.nodes import Node
from alora_flow.prompts.contents import Hole, Symbol, Thread
from alora_flow.prompts.writing import Writing

if TYPE_CHECKING:  # a flow that calls no model pays for none of these
    from alora_flow.intrinsics.contract import Contract
    from alora_flow.planning.answer_form import AnswerForm
    from alora_flow.planning.callees import OwnCalls


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
