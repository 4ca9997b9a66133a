"""Which brackets are open at a place in a text that may be wrong."""

from __future__ import annotations

from alora_flow.language.syntax.scan import scan

OPENING = {")": "(", "}": "{", "]": "["}


def open_at(text: str, end: int) -> tuple[tuple[int, str], ...]:
    """Offsets and characters of the brackets before `end` that are still open there, the innermost last."""
    stack: list[tuple[int, str]] = []
    for item in scan(text):
        if item.start >= end:
            break
        if item.kind == "bracket":
            feed(stack, item.start, item.text)
    return tuple(stack)


def feed(stack: list[tuple[int, str]], offset: int, bracket: str) -> None:
    """One more bracket. A closing one takes away what was opened since its partner; without a partner it is nothing."""
    partner = OPENING.get(bracket)
    if partner is None:
        stack.append((offset, bracket))
    elif any(opened == partner for _, opened in stack):
        while stack.pop()[1] != partner:
            pass


def balanced(text: str) -> bool:
    """Has every bracket its partner, in the right order?"""
    stack: list[str] = []
    for item in scan(text):
        if item.kind == "bracket":
            partner = OPENING.get(item.text)
            if partner is None:
                stack.append(item.text)
            elif not stack or stack.pop() != partner:
                return False
    return not stack
