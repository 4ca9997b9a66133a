"""The prefix plan: which tokens every call finds in the cache, and which it computes.

Before a run it is made with holes for what nobody knows yet; in a run each call is planned when it begins, on the
ledger of its backend's cache, and is measured against that: the plan is a promise that a run can break.
"""

from __future__ import annotations

from dataclasses import dataclass

from alora_flow.planning.graph.nodes import Generate, Node
from alora_flow.planning.prefix.amounts import Amount, amount, total
from alora_flow.planning.prefix.ledger import Key, Ledger, keys_of
from alora_flow.planning.prompts import PromptedCall
from alora_flow.planning.schedule import Schedule
from alora_flow.prompts.contents import Hole


@dataclass(frozen=True)
class PlannedCall:
    """One call. `extends`: the thread as its author wrote it. `active_from`: place of the first adapted token."""

    node: Node
    extends: str
    reused: Amount
    prefilled: Amount
    generated_at_most: int
    adapter: str | None
    active_from: Amount | None


@dataclass(frozen=True)
class PrefixPlan:
    """The calls in order, and what the same calls would prefill without a cache, and as plain LoRAs with one."""

    calls: tuple[PlannedCall, ...]
    no_reuse: Amount
    plain_lora: Amount

    @property
    def reused(self) -> Amount:
        return total(call.reused for call in self.calls)

    @property
    def prefilled(self) -> Amount:
        return total(call.prefilled for call in self.calls)

    @property
    def generated_at_most(self) -> int:
        return sum(call.generated_at_most for call in self.calls)


def plan(made: Schedule) -> PrefixPlan:
    """The plan of a schedule on an empty cache."""
    calls = [step.call for step in made.steps]
    ledger, plain = Ledger(), Ledger()
    return PrefixPlan(
        tuple(_planned(ledger, call) for call in calls),
        total(amount(call.prompt.symbols) for call in calls),
        total(_plain_lora(plain, call) for call in calls),
    )


def _planned(ledger: Ledger, call: PromptedCall) -> PlannedCall:
    keys = keys_of(call.prompt)
    found = ledger.prompt(keys)
    ledger.add([*keys, *_left_behind(call, keys[-1][1])])
    symbols, prompt = call.prompt.symbols, call.prompt
    return PlannedCall(
        call.node,
        " ".join(call.node.operation.thread.span.text.split()),  # type: ignore[union-attr]
        amount(symbols[:found]),
        amount(symbols[found:]),
        call.form.most_tokens,
        prompt.contract.name if prompt.contract else None,
        None if prompt.active_from is None else amount(symbols[: prompt.active_from]),
    )


def _left_behind(call: PromptedCall, adapter: str | None) -> list[Key]:
    """What a call's own tokens add to the cache: the hole itself, since a reply that ends by its stop token leaves its
    whole text."""
    if isinstance(call.node.operation, Generate) and call.node.operation.as_type is None:
        return [(Hole(call.node.id, call.form.most_tokens), adapter)]
    return []


def _plain_lora(ledger: Ledger, call: PromptedCall) -> Amount:
    """What the call would prefill if its adapter were a plain LoRA, active from the first token."""
    adapter = call.prompt.contract.adapter.digest if call.prompt.contract else None
    keys: list[Key] = [(symbol, adapter) for symbol in call.prompt.symbols]
    found = ledger.prompt(keys)
    ledger.add([*keys, *_left_behind(call, adapter)])
    return amount(call.prompt.symbols[found:])
