"""Engines whose model writes what a test wants at some places of an answer that may call, and at all others what it
wants itself: no model is trained to call yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from alora_flow.backends.base import ModelCall
from alora_flow.backends.torch_engine import TorchEngine, open_engine
from alora_flow.execution.events import Listener, quiet
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.setup import Setup
from alora_flow.prompts.tokens import Position
from alora_runtime.requests import MatcherSource

VOCABULARY = 4096
BYTES = VOCABULARY // 8

Part = str | int
"""A text of the model's own tokenizer, control tokens among them, or a number of tokens that are the model's own."""


@dataclass(frozen=True)
class Script:
    """A constraint: by place among what is written, the token that comes there; `inner` must allow it, where there is
    one. `barred`: bits of the tokens that come nowhere else."""

    places: Mapping[int, int] = field(default_factory=dict)
    inner: MatcherSource | None = None
    barred: int = 0

    def matcher(self, vocabulary: Any) -> Scripted:
        """At the first place."""
        return Scripted(self.places, self.inner.matcher(vocabulary) if self.inner else None, self.barred)


class Scripted:
    """A script under way, which forces nothing: the model is asked, and may only say one thing."""

    def __init__(self, places: Mapping[int, int], inner: Any = None, barred: int = 0) -> None:
        self.places, self.inner, self.barred, self.place = places, inner, barred, 0

    def forced(self) -> list[int]:
        """Nothing."""
        return []

    def mask(self) -> bytes:
        """One token, or all; of these, what is allowed."""
        token = self.places.get(self.place)
        bits = ((1 << VOCABULARY) - 1) & ~self.barred if token is None else 1 << token
        if self.inner is not None:
            bits &= int.from_bytes(self.inner.mask(), "little")
        return bits.to_bytes(BYTES, "little")

    def accept(self, token: int) -> None:
        """The next place."""
        self.place += 1
        if self.inner is not None:
            self.inner.accept(token)

    @property
    def accepting(self) -> bool:
        """Where nothing is said, the answer may end."""
        return self.place not in self.places and (self.inner is None or self.inner.accepting)

    @property
    def done(self) -> bool:
        """Must it?"""
        return self.inner is not None and self.inner.done


class ForcedEngine(TorchEngine):
    """Writes `parts` in the generations that may call, `within` in the intrinsics that may, and for each tool that is
    called the next one of the `arguments`."""

    def __init__(
        self,
        setup: Setup,
        parts: Sequence[Part],
        within: Sequence[Part] = (),
        arguments: Sequence[str] = (),
        cache_tokens: int | None = None,
    ) -> None:
        super().__init__(open_engine(setup, cache_tokens).engine)
        self.sent: list[ModelCall] = []
        self.tokenizer = setup.prompter.tokenizer
        self.parts, self.within, self.arguments = self.places(parts), self.places(within), list(arguments)
        control = {self.tokenizer.control_token(text) for text in self.tokenizer.control} - {setup.prompter.turn_end}
        self.barred = sum(1 << token for token in control if token is not None)

    def places(self, parts: Sequence[Part]) -> dict[int, int]:
        """Which token comes where."""
        places: dict[int, int] = {}
        place = 0
        for part in parts:
            tokens = self.tokenizer.encode(part, Position.INSIDE, control=True) if isinstance(part, str) else ()
            places |= dict(enumerate(tokens, place))
            place += part if isinstance(part, int) else len(tokens)
        return places

    def submit(self, call: ModelCall) -> int:
        self.sent.append(call)
        request = call.request
        places: Mapping[int, int] | None = None
        if request.triggers:
            places = self.within if request.runs[-1].adapter else self.parts
        elif request.constraint and self.arguments:
            places = self.places([self.arguments.pop(0)])
        if places is not None:
            script = Script(places, request.constraint, self.barred)
            call = replace(call, request=replace(request, constraint=script))
        return super().submit(call)


def forced(path: Path, *parts: Part, listener: Listener = quiet, **others: Any) -> Module:
    """The module of a file whose generations that may call write these parts."""
    return Module(Compilation(path), partial(ForcedEngine, parts=parts, **others))
