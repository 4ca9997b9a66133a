"""The prefix plan: which tokens every call finds in the cache, and which it computes.

Before a run it is made with holes for what nobody knows yet; in a run each call is planned when it begins, on the
ledger of its backend's cache, and is measured against that.

The cache is a tree keyed by (token, adapter). Here it is a trie of integers and holes that follows the engine's rules
(docs/architecture.md, "What the cache holds") without asking the engine: the plan is a promise that a run can break.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from alora_flow.planning.amount import Amount, amount, total
from alora_flow.planning.evaluate import Values
from alora_flow.planning.graph import FlowGraph, Generate, Node
from alora_flow.planning.prompts import Call, Prompt, Setup, calls_of
from alora_flow.prompts.thread import Hole, Symbol

Key: TypeAlias = tuple[Symbol, str | None]
"""A token (or hole) and the digest of the adapter that it is computed under."""


@dataclass
class _Trie:
    """`ends`: a call's prompt ended here, so the engine kept what it needs to answer from here again."""

    children: dict[Key, _Trie] = field(default_factory=dict)
    ends: bool = False


class Ledger:
    """What the cache holds, call by call."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """The cache was emptied."""
        self._root = _Trie()
        self.size = 0  # keys held

    def prompt(self, keys: Sequence[Key]) -> int:
        """How many leading keys are there already; all of them are afterwards.

        A prompt that is there as a whole still costs its last token, unless a call's prompt ended just there before.
        """
        node, found = self._root, 0
        while found < len(keys) and keys[found] in node.children:
            node = node.children[keys[found]]
            found += 1
        if found == len(keys) and not node.ends:
            found -= 1
        self.add(keys).ends = True
        return found

    def add(self, keys: Iterable[Key]) -> _Trie:
        """Put a sequence into the cache."""
        node = self._root
        for key in keys:
            if key not in node.children:
                node.children[key] = _Trie()
                self.size += 1
            node = node.children[key]
        return node


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


def plan(graph: FlowGraph, setup: Setup, known: Values) -> PrefixPlan:
    """The plan of a graph on an empty cache, calls in the order of the source, as far as `known` tells."""
    calls = list(calls_of(graph, setup, known))
    ledger, plain = Ledger(), Ledger()
    return PrefixPlan(
        tuple(_planned(ledger, call) for call in calls),
        total(amount(call.prompt.symbols) for call in calls),
        total(_plain_lora(plain, call) for call in calls),
    )


def _planned(ledger: Ledger, call: Call) -> PlannedCall:
    keys = keys_of(call.prompt)
    found = ledger.prompt(keys)
    ledger.add([*keys, *_left_behind(call, keys[-1][1])])
    symbols, prompt = call.prompt.symbols, call.prompt
    return PlannedCall(
        call.node,
        " ".join(call.node.operation.thread.span.text.split()),  # type: ignore[union-attr]
        amount(symbols[:found]),
        amount(symbols[found:]),
        call.max_tokens,
        prompt.contract.name if prompt.contract else None,
        None if prompt.active_from is None else amount(symbols[: prompt.active_from]),
    )


def keys_of(prompt: Prompt) -> list[Key]:
    """The prompt as the cache's keys."""
    return list(zip(prompt.symbols, prompt.adapters(), strict=True))


def _left_behind(call: Call, adapter: str | None) -> list[Key]:
    """What a call's own tokens add to the cache: the hole itself, since a reply that ends by its stop token leaves its
    whole text."""
    if isinstance(call.node.operation, Generate) and call.node.operation.as_type is None:
        return [(Hole(call.node.id, call.max_tokens), adapter)]
    return []


def _plain_lora(ledger: Ledger, call: Call) -> Amount:
    """What the call would prefill if its adapter were a plain LoRA, active from the first token."""
    adapter = call.prompt.contract.adapter.digest if call.prompt.contract else None
    keys: list[Key] = [(symbol, adapter) for symbol in call.prompt.symbols]
    found = ledger.prompt(keys)
    ledger.add([*keys, *_left_behind(call, adapter)])
    return amount(call.prompt.symbols[found:])
