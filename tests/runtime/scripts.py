"""Answers that say what a test wants at some places, and what the model wants at all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alora_runtime.errors import ConstraintError
from tests.runtime.checkpoints import PADDED, make_tokenizer


@dataclass(frozen=True)
class Script:
    """A constraint: by place among what is written the token that comes there. `forced`: the engine writes them without
    asking the model."""

    places: Mapping[int, int] = field(default_factory=dict)
    forced: bool = False

    def matcher(self, _: Any) -> Scripted:
        """At the first place."""
        return Scripted(self)


class Scripted:
    """A script under way."""

    done = False

    def __init__(self, script: Script) -> None:
        self.script, self.place = script, 0

    def forced(self) -> list[int]:
        """All that the script has next."""
        tokens = []
        while self.script.forced and self.place in self.script.places:
            tokens.append(self.script.places[self.place])
            self.place += 1
        return tokens

    def mask(self) -> bytes:
        """One token, or all."""
        token = self.script.places.get(self.place)
        bits = (1 << PADDED) - 1 if token is None else 1 << token
        return bits.to_bytes(PADDED // 8, "little")

    def accept(self, token: int) -> None:
        """Raises ConstraintError for another one than the script's."""
        if self.script.places.get(self.place, token) != token:
            raise ConstraintError(f"token {token} is not in the script")
        self.place += 1

    @property
    def accepting(self) -> bool:
        """Where nothing is said, the answer may end."""
        return self.place not in self.script.places


LETTERS = make_tokenizer()


def script(*parts: str | Sequence[int] | int, forced: bool = False) -> Script:
    """What comes in turn: a text, tokens, or a number of tokens that are the model's own."""
    places: dict[int, int] = {}
    place = 0
    for part in parts:
        if isinstance(part, int):
            place += part
            continue
        tokens = LETTERS.encode(part).ids if isinstance(part, str) else part
        places |= dict(enumerate(tokens, place))
        place += len(tokens)
    return Script(places, forced)
