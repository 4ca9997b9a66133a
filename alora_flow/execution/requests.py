"""From a planned call to the request that an engine takes."""

from __future__ import annotations

from typing import Any

from alora_flow.execution.hints import NextUse
from alora_flow.intrinsics.contract import choices_of
from alora_flow.language.meaning import types as t
from alora_flow.planning.evaluate import Values, evaluate
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.prompts import Call, Prompt, Setup
from alora_flow.prompts.thread import Hole
from alora_flow.values.models import adapter
from alora_runtime.answer.constraints import Constraint
from alora_runtime.requests import Request, Run


def request_for(call: Call, setup: Setup, values: Values, next_use: NextUse | None = None) -> Request:
    """The request of one call whose thread, and so its prompt, is known. `next_use`: as in Request."""
    operation, runs, limit = call.node.operation, _runs(call.prompt), call.max_tokens
    assert isinstance(operation, (g.Generate, g.Invoke))
    if isinstance(operation, g.Invoke):
        contract = setup.contracts[operation.intrinsic.key]
        choices = tuple(outcome.tokens for outcome in contract.outcomes) if contract.outcomes else None
        settings = {name: value for name, value in contract.settings.items() if name != "max_tokens"}
        constraint = None if choices else constraint_for(contract.emits)
        return Request(runs, max_tokens=limit, choices=choices, constraint=constraint, next_use=next_use, **settings)
    settings = {argument.name: evaluate(argument.value, values) for argument in operation.settings}
    settings["stop_strings"] = settings.pop("stop", ())
    settings.pop("max_tokens", None)
    options = choices_of(operation.as_type) if operation.as_type else None
    encode = setup.prompter.tokenizer.encode_data
    return Request(
        runs,
        max_tokens=limit,
        choices=tuple(encode(text) for text, _ in options) if options else None,
        constraint=constraint_for(operation.as_type) if operation.as_type and not options else None,
        next_use=next_use,
        **settings,
    )


def _runs(prompt: Prompt) -> tuple[Run, ...]:
    """The prompt cut where its adapter begins. All of it is known by now."""
    assert not any(isinstance(symbol, Hole) for symbol in prompt.symbols), "a call began before its thread was known"
    tokens: tuple[Any, ...] = prompt.symbols
    if prompt.contract is None or prompt.active_from is None:
        return (Run(tokens),)
    runs = (Run(tokens[: prompt.active_from]), Run(tokens[prompt.active_from :], adapter=prompt.contract.name))
    return tuple(run for run in runs if run.tokens)


def constraint_for(type: t.Type) -> Constraint | None:
    """The grammar of a type that is no short list of choices; free text has none."""
    if isinstance(type, t.StrType):
        return None
    return Constraint.json_schema(adapter(type).json_schema())
