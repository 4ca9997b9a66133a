"""Calls that are too long for a model whatever happens, as far as a schedule tells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from alora_flow.planning.graph.nodes import Invoke
from alora_flow.planning.prefix.amounts import Amounts, amount
from alora_flow.planning.prompts import PromptedCall
from alora_flow.planning.schedule import Schedule

HELP = "shorten what it reads, or give it a lower max_tokens"


class TooLong(NamedTuple):
    """A call that comes for certain and does not fit, and why."""

    call: PromptedCall
    why: str


def too_long(made: Schedule, positions: int | None) -> Iterator[TooLong]:
    """All calls that come for certain, and of which enough is known to say that they need more than the `positions`
    of the model; none where these are not known."""
    amounts = Amounts()
    for call in (step.call for step in made.steps if positions is not None and step.certain):
        if call.node.mocks:
            continue
        known = amounts.of(call.prompt.thread).tokens + amount(call.prompt.added).tokens
        answer = call.form.most_tokens_at_least(made.inputs)
        if positions is not None and known + answer - 1 > positions:
            why = (
                f"'{name_of(call)}' has a prompt of {known} tokens at least and an answer of up to {answer}, "
                f"which is more than the model's {positions} positions"
            )
            yield TooLong(call, why)


def name_of(call: PromptedCall) -> str:
    """What its author calls it."""
    operation = call.node.operation
    return operation.intrinsic.name if isinstance(operation, Invoke) else call.node.id
