"""From a planned call to the request that an engine takes."""

from __future__ import annotations

from typing import Any

from alora_flow.execution.hints import NextUse
from alora_flow.planning.evaluate import Values
from alora_flow.planning.prompts import Call, Prompt
from alora_flow.prompts.thread import Hole
from alora_runtime.requests import Request, Run


def request_for(call: Call, values: Values, next_use: NextUse | None = None) -> Request:
    """The request of one call whose thread, and so its prompt, is known. `next_use`: as in Request."""
    return Request(_runs(call.prompt), next_use=next_use, **call.form.limits(values))


def _runs(prompt: Prompt) -> tuple[Run, ...]:
    """The prompt cut where its adapter begins. All of it is known by now."""
    assert not any(isinstance(symbol, Hole) for symbol in prompt.symbols), "a call began before its thread was known"
    tokens: tuple[Any, ...] = prompt.symbols
    if prompt.contract is None or prompt.active_from is None:
        return (Run(tokens),)
    runs = (Run(tokens[: prompt.active_from]), Run(tokens[prompt.active_from :], adapter=prompt.contract.name))
    return tuple(run for run in runs if run.tokens)
