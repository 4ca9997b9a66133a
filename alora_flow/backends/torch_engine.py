"""The project's own engine under a flow."""

from __future__ import annotations

import os
from collections.abc import Mapping

import alora_runtime
from alora_flow.backends.base import Abilities, ModelCall
from alora_flow.errors import BadAdapter, BadModel, BadUsage
from alora_flow.planning.setup import Setup
from alora_runtime.errors import AdapterError, CapacityError, ModelError
from alora_runtime.requests import Completion

CACHE_TOKENS = 131_072
"""Tokens that the KV arena holds at most, unless the caller says otherwise; only those that are used take memory."""

CACHE_SHARE = 8
"""So much of the machine's memory, one part of eight, the arena takes at most, unless the caller says otherwise."""

STEP_SECONDS = 1.0
"""What a step may take: nobody but other runs waits for one, and long prompts are computed faster in long chunks."""


class TorchEngine:
    """Passes calls on to an engine, which does all that a backend can."""

    def __init__(self, engine: alora_runtime.Engine) -> None:
        self.engine = engine
        self.abilities = Abilities(
            positions=engine.model.source.max_positions, calls=True, retains=True, unhurried=True
        )
        self._alone = False

    @property
    def cache_tokens(self) -> int:
        return self.engine.cache_tokens

    @property
    def busy(self) -> bool:
        return self.engine.busy

    def submit(self, call: ModelCall) -> int:
        write = call.write
        return self.engine.submit(call.request, None if write is None else lambda delta: write(delta.text), retain=True)

    def leave_alone(self, alone: bool) -> None:
        """Whether nobody waits for the next steps to end."""
        self._alone = alone

    def step(self) -> list[tuple[int, Completion]]:
        return self.engine.step(self._alone)

    def cancel(self, ticket: int) -> None:
        self.engine.cancel(ticket)

    def let_go(self, retained: Mapping[int, int]) -> None:
        """Of what calls left, by ticket, only so many tokens are needed any more."""
        self.engine.let_go(retained)

    def forget(self) -> None:
        self.engine.forget()

    def admit(self, setup: Setup) -> None:
        """Load what adapters a setup of this model has beside those that are there, by what is in them: two of one name
        may be different ones. Raises BadAdapter."""
        for contract in setup.contracts.values():
            digest = contract.adapter.digest
            if digest not in self.engine.adapters:
                try:
                    self.engine.add_adapter(digest, contract.adapter.folder)
                except AdapterError as error:
                    raise BadAdapter(error.message.replace(digest, contract.name), error.help) from error


def open_engine(setup: Setup, cache_tokens: int | None = None, **options: object) -> TorchEngine:
    """Load the model and every adapter of the setup, with further options of `Engine.load`. torch is imported here.

    Raises BadModel, BadAdapter, and BadUsage for a cache that holds nothing.
    """
    size = {"cache_tokens": cache_tokens}
    if cache_tokens is None:
        size = {"cache_tokens": CACHE_TOKENS, "cache_bytes": _memory() // CACHE_SHARE}
    settings = {**size, "step_seconds": STEP_SECONDS, **options}
    try:
        engine = TorchEngine(alora_runtime.Engine.load(setup.model.folder, **settings))  # type: ignore[arg-type]
    except ModelError as error:
        raise BadModel(error.message, error.help) from error
    except CapacityError as error:
        raise BadUsage(str(error)) from error
    engine.admit(setup)
    return engine


def _memory() -> int:
    """Bytes that the machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
