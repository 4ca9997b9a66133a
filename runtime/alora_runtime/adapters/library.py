"""The adapters of an engine: their names, and the numbers that rows, layers and the tree know their content by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from tokenizers import Tokenizer

from alora_runtime.adapters.config import CONFIG, AdapterConfig, read_adapter_config
from alora_runtime.adapters.weights import LowRank, Shapes, load_updates
from alora_runtime.errors import AdapterError, hint, shown
from alora_runtime.requests import Request
from alora_runtime.schedule.sequence import Runs


class Adaptable(Protocol):
    """A network that carries adapters by number. `modules`: the Linears that they may update."""

    @property
    def modules(self) -> Shapes: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def put(self, number: int, updates: Mapping[str, LowRank]) -> None:
        """Carry these weights under a number."""
        ...

    def drop(self, number: int) -> None:
        """Free them."""
        ...


class Library:
    """Adapters by name. Two names for one content share number, weights and KV; a content keeps its number for ever."""

    def __init__(self, network: Adaptable, tokenizer: Tokenizer | None) -> None:
        self.configs: dict[str, AdapterConfig] = {}
        self.loaded: set[int] = set()  # numbers whose weights are in the model
        self.unnamed: set[int] = set()  # those of them that no name means any more
        self._network, self._tokenizer = network, tokenizer
        self._numbers: dict[str, int] = {}  # by digest

    def number(self, name: str | None) -> int:
        """0 for the base."""
        return 0 if name is None else self._numbers[self.configs[name].digest]

    @property
    def numbers(self) -> dict[str, int]:
        """By name; another thread may add and remove some meanwhile."""
        return {name: self._numbers[config.digest] for name, config in [*self.configs.items()]}

    def runs(self, request: Request) -> Runs:
        """A request's, with neighbours under one adapter joined. Only the last may be empty: it says what is generated
        carries."""
        runs: list[tuple[int, tuple[int, ...]]] = []
        for run in [*(run for run in request.runs[:-1] if run.tokens), request.runs[-1]]:
            number = self.number(run.adapter)
            before = runs.pop()[1] if runs and runs[-1][0] == number else ()
            runs.append((number, before + tuple(run.tokens)))  # which copies nothing behind nothing
        return tuple(runs)

    def add(self, name: str, folder: str | Path) -> AdapterConfig:
        """Load an adapter, or give it a further name. Raises AdapterError with nothing changed."""
        config = read_adapter_config(folder)
        if self._tokenizer:
            tokens, start = config.spelled(partial(_encode, self._tokenizer))
            config = replace(config, invocation_tokens=tokens[start:])
            for token in tokens:
                if self._tokenizer.id_to_token(token) is None:
                    raise AdapterError(
                        f"adapter {name!r} is invoked by token {token} ({CONFIG}), which the tokenizer lacks",
                        "it is for another base, or its base's tokenizer had tokens added",
                    )
        if self._numbers.get(config.digest) not in self.loaded:
            updates = load_updates(name, config, self._network.modules, self._network.dtype)
            number = self._numbers.setdefault(config.digest, len(self._numbers) + 1)
            self._network.put(number, updates)
            self.loaded.add(number)
        self.configs[name] = config
        self._count_names()
        return config

    def remove(self, name: str) -> None:
        """Forget a name. Raises AdapterError where there is none."""
        if not isinstance(name, str) or name not in self.configs:
            raise AdapterError(f"there is no adapter {shown(name)}{hint(name, self.configs)}")
        del self.configs[name]
        self._count_names()

    def unload(self, used: Iterable[int]) -> None:
        """Free the weights of what has no name, but for those still used."""
        for number in self.unnamed.difference(used):
            self._network.drop(number)
            self.loaded.discard(number)
            self.unnamed.discard(number)

    def _count_names(self) -> None:
        self.unnamed = self.loaded - {self._numbers[config.digest] for config in self.configs.values()}


def _encode(tokenizer: Tokenizer, text: str) -> list[int]:
    tokens: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return tokens
