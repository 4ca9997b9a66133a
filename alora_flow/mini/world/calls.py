"""Calls that a system turn may ask the assistant for: in the middle of its own answers it writes what invokes an
intrinsic, and goes on with what that has answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alora_flow.mini.world.chat import Piece

BEFORE, AFTER = "answerability", "uncertainty"
"""Called before an answer, and after one."""

ASKS = {
    BEFORE: ("Check first whether the documents say it.", "Before you answer, check the documents."),
    AFTER: ("After each answer, check how sure you are.", "Say how sure you are."),
}
"""How a system turn asks for each; it asks for none, for one, or for both."""

ASKED = ((BEFORE,), (AFTER,), (BEFORE, AFTER))

KNOWN, GUESSED = "56789", "01234"
"""Digits that the second may answer, where the documents tell the answer and where they do not."""


def invocation(name: str) -> str:
    """What the assistant writes; one token of its own, which no text of anybody is encoded to."""
    return f"<|{name}|>"


INVOCATIONS = {invocation(name): name for name in ASKS}


def around_answer(
    pieces: tuple[Piece, ...], asks: tuple[str, ...], shown: bool, digit: str, weight: float
) -> tuple[Piece, ...]:
    """An answer with the calls that were asked for. What an adapter answers is context: nothing to learn."""
    before: tuple[Piece, ...] = ((invocation(BEFORE), weight), ("Y" if shown else "N", 0.0))
    after: tuple[Piece, ...] = ((invocation(AFTER), weight), (digit, 0.0))
    return (*(before if BEFORE in asks else ()), *pieces, *(after if AFTER in asks else ()))
