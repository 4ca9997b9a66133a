"""From a planned call to the request that an engine takes."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from typing import Any

from alora_flow.backends.base import Abilities, ModelCall
from alora_flow.errors import BadInput
from alora_flow.execution.hints import NextUse
from alora_flow.planning.evaluate import Values
from alora_flow.planning.graph.nodes import Invoke
from alora_flow.planning.prompts import Prompt, PromptedCall
from alora_flow.planning.room import HELP, name_of, too_long
from alora_flow.planning.schedule import Schedule
from alora_flow.prompts.writing import Writing
from alora_runtime.requests import Request, Run


def fitted(call: PromptedCall, abilities: Abilities) -> PromptedCall:
    """The call as a backend can make it."""
    return call if abilities.choices else replace(call, form=call.form.decoded())


def model_call(
    call: PromptedCall, values: Values, place: str, seed: int, next_use: NextUse | None = None, again: bool = False
) -> ModelCall:
    """What a backend takes for a call whose thread, and so its prompt, is known.

    A call to which the flow gives no seed has one from the run's `seed` and the call's `place` in the run, so that no
    two calls of a run draw the same numbers; where a node is asked `again`, the seed of the flow itself takes the place
    of the run's. `next_use`: as in Request.
    """
    limits = call.form.limits(values)
    if again or "seed" not in limits:
        limits["seed"] = seed_at(limits.get("seed", seed), place)
    return ModelCall(call.node.id, Request(_runs(call.prompt), next_use=next_use, **limits), call.thread, call.prompt)


def most_written(request: Request) -> int:
    """Tokens of the cache that a request's answer may take at most."""
    return request.room if request.choices is None else sum(map(len, request.choices))


def seed_at(seed: int, place: str) -> int:
    """A seed of 48 bits for one place of a run."""
    return int.from_bytes(sha256(f"{seed} {place}".encode()).digest()[:6])


def check_abilities(schedule: Schedule, abilities: Abilities) -> None:
    """Raises BadInput for the first call that a backend can't make, before any is made."""
    for call in (step.call for step in schedule.steps):
        line, what, name = call.node.span.line, call.node.operation, name_of(call)
        if isinstance(what, Invoke) and not abilities.adapters:
            raise BadInput(f"line {line}: intrinsic '{name}' needs an adapter, and this backend runs none")
        if call.own is not None and not abilities.calls:
            raise BadInput(
                f"line {line}: '{name}' lets the model call by itself, and this backend can't",
                "run it on the torch backend, or call what it may invoke in the flow",
            )
        if call.form.weighed and not abilities.choices:
            raise BadInput(
                f"line {line}: '{name}' needs the probabilities of its choices, and this backend gives none",
                "run it on the torch backend, or let it emit a plain value",
            )
    for found in too_long(schedule, abilities.positions):
        raise BadInput(f"line {found.call.node.span.line}: {found.why}", HELP)


def _runs(prompt: Prompt) -> tuple[Run, ...]:
    """The prompt cut where its adapter begins. All of it is known by now."""
    thread, contract = prompt.thread, prompt.contract
    added: tuple[Any, ...] = prompt.added
    if contract is None or prompt.active_from is None:
        return (_shared(thread, added),)
    adapter, behind = contract.adapter.digest, prompt.active_from - thread.length
    if behind >= 0:
        runs = [_shared(thread, added[:behind]), Run(added[behind:], adapter)]
    elif prompt.active_from == 0:
        runs = [_shared(thread, added, adapter)]
    else:
        whole: tuple[Any, ...] = prompt.symbols
        runs = [Run(whole[: prompt.active_from]), Run(whole[prompt.active_from :], adapter)]
    return tuple(run for run in runs if run.tokens)


@lru_cache(maxsize=4)
def _shared(thread: Writing, added: tuple[Any, ...], adapter: str | None = None) -> Run:
    """A thread and what follows it as one object for all calls that go on from it side by side: it is neither copied
    nor checked again for each."""
    tokens: tuple[Any, ...] = thread.symbols + added
    return Run(tokens, adapter)
