"""What an intrinsic of a library takes, gives and costs on a base, told without a flow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alora_flow.frozen import dataclass
from alora_flow.intrinsics.contract import Contract, contract_of
from alora_flow.intrinsics.io_yaml import IoYaml
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Argument, Intrinsic
from alora_flow.language.report.source import Source
from alora_flow.planning.answer_form import form_of_intrinsic
from alora_flow.planning.graph.nodes import Invoke, NodeValue
from alora_flow.planning.invoking import invoke
from alora_flow.planning.prefix.amounts import Amount, amount
from alora_flow.prompts.thread import Hole, Prompter, Thread, Turn

NOWHERE = Source("<library>", "").span(0, 0)


@dataclass(frozen=True)
class Offering:
    """`active`: where the adapter acts from, for people; `shares`: what of its thread a call finds in the cache;
    `computes`: the tokens that a call computes where the thread is in the cache, `|thread|` being what it says;
    `writes_at_most`: tokens of the answer.
    """

    contract: Contract
    active: str
    shares: str
    computes: Amount
    writes_at_most: int


def offering(name: str, folder: Path, io_yaml: IoYaml | None, prompter: Prompter) -> Offering:
    """Raises BadAdapter where the adapter can't be used on this base."""
    arguments = () if io_yaml is None else io_yaml.arguments
    short = None if io_yaml is None else name
    intrinsic = Intrinsic(
        name, name, "", NOWHERE, (), t.STR, None if short else name, None, None, None, None, short, (), None
    )
    contract = contract_of(intrinsic, folder, prompter.tokenizer)
    given = tuple(Argument(each, NodeValue(t.STR, NOWHERE, each)) for each in arguments)
    thread = Thread.of((Turn("user", (Hole("thread"),)),))
    said = invoke(Invoke(NodeValue(t.THREAD, NOWHERE, "thread"), intrinsic, given), thread, contract, prompter, {})
    known, symbols = prompter.thread_symbols(thread), said.writing.symbols + said.tail
    start = said.active_from if contract.adapter.activated else 0
    pairs = zip(known[:start], symbols, strict=False)
    common = next((place for place, (one, other) in enumerate(pairs) if one != other), len(known[:start]))
    return Offering(
        contract,
        _active(contract, prompter),
        _shares(contract),
        amount(symbols[common:]),
        form_of_intrinsic(contract, prompter.tokenizer).most_tokens,
    )


def _active(contract: Contract, prompter: Prompter) -> str:
    """Start, end or none, with the text and the tokens that activate the adapter."""
    if not contract.adapter.activated:
        return "none: a plain LoRA, active from the first token of the thread"
    sequence = f"{prompter.tokenizer.spell(contract.sequence)!r} {list(contract.sequence)}"
    which = "the first token" if not contract.offset else f"token {contract.offset + 1}"
    return f"start: from {which} of {sequence} on"


def _shares(contract: Contract) -> str:
    if not contract.adapter.activated:
        return "nothing: its adapter is active from the first token"
    io_yaml = contract.io_yaml
    if io_yaml is None or not io_yaml.rewrites:
        return "the whole thread"
    if io_yaml.documents:
        return "the thread where it has no documents, else nothing: they are put in front"
    return f"the thread up to the first sentence that it numbers ({', '.join(io_yaml.marks)})"


def settings_of(contract: Contract) -> Mapping[str, Any]:
    """Of sampling, as `with (…)` would give them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in contract.settings.items()}
