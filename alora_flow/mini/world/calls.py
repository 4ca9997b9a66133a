"""Calls that a system turn may ask the assistant for: in the middle of its own answers it writes what invokes an
intrinsic, and goes on with what that has answered."""

from __future__ import annotations

from random import Random

from alora_flow.mini.world.pieces import PLAIN, VERDICT, Piece

BEFORE, AFTER = "answerability", "uncertainty"
"""Called before an answer, and after one."""

ASKS = {
    BEFORE: ("Check first whether the documents say it.", "Before you answer, check the documents."),
    AFTER: ("After each answer, check how sure you are.", "Say how sure you are."),
}
"""How a system turn asks for each; it asks for none, for one, or for both."""

ASKED = ((BEFORE,), (AFTER,), (BEFORE, AFTER))

KNOWN, GUESSED = "56789", "01234"
"""Digits that the second answers, mostly, where the documents tell the answer and where they do not."""

ANY = 0.3
"""How often it answers any digit, so that the assistant learns to read it and does not judge by the documents."""

DOUBT: tuple[Piece, ...] = ((" But", VERDICT), (" I am not sure.", PLAIN))
"""What the assistant goes on with behind a low digit."""


def invocation(name: str) -> str:
    """What the assistant writes; one token of its own, which no text of anybody is encoded to."""
    return f"<|{name}|>"


INVOCATIONS = {invocation(name): name for name in ASKS}


def certainty_digit(random: Random, known: bool) -> str:
    """What the second may answer about an answer that the documents tell, or not."""
    return random.choice(KNOWN + GUESSED if random.random() < ANY else KNOWN if known else GUESSED)


def around_answer(pieces: tuple[Piece, ...], asks: tuple[str, ...], shown: bool, digit: str) -> tuple[Piece, ...]:
    """An answer with the calls that were asked for. What an adapter answers is context: nothing to learn."""
    before: tuple[Piece, ...] = ((invocation(BEFORE), PLAIN), ("Y" if shown else "N", 0.0))
    after: tuple[Piece, ...] = ((invocation(AFTER), PLAIN), (digit, 0.0), *(DOUBT if digit in GUESSED else ()))
    return (*(before if BEFORE in asks else ()), *pieces, *(after if AFTER in asks else ()))
