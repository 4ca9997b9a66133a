"""The prefix plan: which tokens every call finds in the cache, and which it computes.

Before a run it is made with holes for what nobody knows yet; in a run each call is planned when it begins, on the
ledger of its backend's cache, and is measured against that: the plan is a promise that a run can break.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from alora_flow.collector import no_collection
from alora_flow.frozen import dataclass
from alora_flow.planning.graph.nodes import Generate, Node
from alora_flow.planning.prefix.amounts import Amount, Amounts, amount, total
from alora_flow.planning.prefix.ledger import Ledger
from alora_flow.planning.prefix.own import PlannedOwnCalls, planned_own
from alora_flow.planning.prompts import Prompt, PromptedCall
from alora_flow.planning.schedule import Schedule


@dataclass(frozen=True)
class PlannedCall:
    """One call. `extends`: the thread as its author wrote it. `active_from`: place of the first adapted token.

    `tries`: how often it is asked at most; `generated_at_most` counts them all, and all but the first find the prompt
    in the cache. `own`: the calls that the model may make itself meanwhile, which the other numbers leave out.
    """

    node: Node
    extends: str
    reused: Amount
    prefilled: Amount
    generated_at_most: int
    adapter: str | None
    active_from: Amount | None
    tries: int = 1
    own: PlannedOwnCalls | None = None


@dataclass(frozen=True)
class PrefixPlan:
    """The calls in order, and what the same calls would prefill without a cache, and as plain LoRAs with one."""

    calls: tuple[PlannedCall, ...]
    no_reuse: Amount
    plain_lora: Amount

    @property
    def reused(self) -> Amount:
        return self.no_reuse - self.prefilled

    @cached_property
    def prefilled(self) -> Amount:
        return total(call.prefilled for call in self.calls)

    @property
    def generated_at_most(self) -> int:
        own = sum(call.tries * call.own.generated_at_most for call in self.calls if call.own)
        return own + sum(call.generated_at_most for call in self.calls)


def plan(made: Schedule) -> PrefixPlan:
    """The plan of a schedule on an empty cache."""
    with no_collection():
        calls = [step.call for step in made.steps]
        ledger, plain, amounts = Ledger(), Ledger(), Amounts()
        added = [amount(call.prompt.added) for call in calls]
        wholes = [amounts.of(call.prompt.thread) + own for call, own in zip(calls, added, strict=True)]
        planned = tuple(_planned(ledger, call, whole) for call, whole in zip(calls, wholes, strict=True))
        adapted = any(call.prompt.contract for call in calls)
        return PrefixPlan(
            planned,
            amounts.total(call.prompt.thread for call in calls) + total(added),
            total(_plain_lora(plain, call) for call in calls) if adapted else total(call.prefilled for call in planned),
        )


def _planned(ledger: Ledger, call: PromptedCall, whole: Amount) -> PlannedCall:
    prompt = call.prompt
    prefilled = amount(prompt.since(entered(ledger, call, prompt)))
    return PlannedCall(
        call.node,
        " ".join(call.node.operation.thread.span.text.split()),  # type: ignore[union-attr]
        whole - prefilled,
        prefilled,
        call.form.most_tokens * call.form.tries,
        prompt.contract.name if prompt.contract else None,
        None if prompt.active_from is None else whole - amount(prompt.since(prompt.active_from)),
        call.form.tries,
        planned_own(call.own) if call.own else None,
    )


def _plain_lora(ledger: Ledger, call: PromptedCall) -> Amount:
    """What the call would prefill if its adapter were a plain LoRA, active from the first token."""
    prompt = replace(call.prompt, active_from=0) if call.prompt.contract else call.prompt
    return amount(prompt.since(entered(ledger, call, prompt)))


def entered(ledger: Ledger, call: PromptedCall, prompt: Prompt) -> int:
    """How many symbols of a call's prompt it finds. Its own tokens add the hole itself, since a reply that ends by its
    stop token leaves its whole text."""
    found, end = ledger.enter(prompt)
    if isinstance(call.node.operation, Generate) and call.node.operation.as_type is None:
        ledger.write(end, [call.reply], prompt.adapter_at(len(prompt)))
    return found
