"""Engines whose model writes what a test wants at some places of a generation that may call, and at all others what it
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
from alora_flow.planning.prompts import Setup

VOCABULARY = 4096


@dataclass(frozen=True)
class Script:
    """A constraint: by place among what is written, the token that comes there."""

    places: Mapping[int, int] = field(default_factory=dict)

    def matcher(self, _: Any) -> Scripted:
        """At the first place."""
        return Scripted(self.places)


class Scripted:
    """A script under way, which forces nothing: the model is asked, and may only say one thing."""

    done = False

    def __init__(self, places: Mapping[int, int]) -> None:
        self.places, self.place = places, 0

    def forced(self) -> list[int]:
        """Nothing."""
        return []

    def mask(self) -> bytes:
        """One token, or all."""
        token = self.places.get(self.place)
        bits = (1 << VOCABULARY) - 1 if token is None else 1 << token
        return bits.to_bytes(VOCABULARY // 8, "little")

    def accept(self, token: int) -> None:
        """The next place."""
        self.place += 1

    @property
    def accepting(self) -> bool:
        """Where nothing is said, the answer may end."""
        return self.place not in self.places


class ForcedEngine(TorchEngine):
    """Writes `parts` in the generations that may call: texts of the model's own tokenizer, control tokens among them,
    and numbers of tokens that are the model's own."""

    def __init__(self, setup: Setup, parts: Sequence[str | int]) -> None:
        super().__init__(open_engine(setup).engine)
        self.sent: list[ModelCall] = []
        places: dict[int, int] = {}
        place = 0
        for part in parts:
            tokens = setup.prompter.tokenizer.encode_control(part) if isinstance(part, str) else ()
            places |= dict(enumerate(tokens, place))
            place += part if isinstance(part, int) else len(tokens)
        self.script = Script(places)

    def submit(self, call: ModelCall) -> int:
        self.sent.append(call)
        if call.request.triggers and not call.prompt.contract:
            call = replace(call, request=replace(call.request, constraint=self.script))
        return super().submit(call)


def forced(path: Path, *parts: str | int, listener: Listener = quiet) -> Module:
    """The module of a file whose generations that may call write these parts."""
    return Module(Compilation(path), partial(ForcedEngine, parts=parts))
