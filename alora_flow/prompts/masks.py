"""What of a text a template may look at, and what it made of it.

A template trims what a turn says, cuts an answer's thoughts, or asks whether a text holds `/no_think`. So it is shown
all whitespace at a text's ends and all that it looks for, as they are, and placeholders for the rest. What it writes of
them says which parts of a text it keeps. The parts themselves are tokenised as what they are: text of a flow's author,
data, tokens that a model wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

from alora_flow.errors import BadModel
from alora_flow.frozen import dataclass
from alora_flow.prompts.template import (
    PLACE,
    ChatTemplate,
    TurnFrame,
    TurnShape,
    needed_of,
    placeholder,
    role_of,
    texts_of,
)

Mask: TypeAlias = tuple[str | None, ...]
"""The parts of a text: one that is shown, or None for one that a placeholder stands for."""

PLAIN: Mask = (None,)


@dataclass(frozen=True)
class WrittenPart:
    """Something that a template writes: text of its own, or the parts `first` to `last` (left out) of a text. `slot`:
    the text that it is or stands beside."""

    text: str = ""
    slot: int = 0
    first: int = 0
    last: int = 0
    escapes: int = 0
    kept: bool = False  # is it of a thread's text?
    closing: bool = False  # does it stand behind its text?
    certain: bool = True  # is it the template's own, whatever the texts are?


def masking(looks_for: Iterable[str]) -> re.Pattern[str] | None:
    """What to find in texts for a template that looks for some."""
    literals = sorted(filter(None, looks_for), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, literals))) if literals else None


_NO_SPACE = re.compile(r"\S")


def spans(text: str, looked_for: re.Pattern[str] | None) -> Iterator[tuple[int, int, bool]]:
    """(start, end, is it shown) of a text's parts. Whitespace beside a text that is looked for is a part of its own.
    Costs what the text is long, however much of it is whitespace."""
    done, stop = len(text) - len(text.lstrip()), len(text.rstrip())
    if done:
        yield 0, done, True
    while looked_for and (found := looked_for.search(text, done)):
        start = done + len(text[done : found.start()].rstrip())
        behind = _NO_SPACE.search(text, found.end())
        end = behind.start() if behind else len(text)
        if start > done:
            yield done, start, False
        inner = text[start:end].strip()
        left = end - len(text[start:end].lstrip())
        for one, other in pairwise((start, left, left + len(inner), end) if inner else (start, end)):
            if other > one:
                yield one, other, True
        done = end
    if done < stop:
        yield done, stop, False
        done = stop
    if done < len(text):
        yield done, len(text), True


def framed(template: ChatTemplate, turns: tuple[TurnShape, ...], masks: tuple[Mask, ...]) -> tuple[WrittenPart, ...]:
    """What the template writes of some turns, closed. Raises BadModel where it leaves out what one says."""
    frames = template.frames(turns)
    if all(mask == PLAIN for mask in masks):
        return tuple(part for frame in frames for part in _parts(frame, 0, 1))
    whole = template.closed(turns, lambda generation: _render(template, turns, masks, generation))
    return _aligned(frames, masks, whole) or _complete(_found(whole, masks), turns, masks)


def opening(template: ChatTemplate, turns: tuple[TurnShape, ...], masks: tuple[Mask, ...]) -> str:
    """What opens an answer after some turns."""
    if all(mask == PLAIN for mask in masks):
        return template.generation_prompt(turns)
    return template.generation_prompt(turns, lambda some, generation: _render(template, some, masks, generation))


def closing(template: ChatTemplate, turns: tuple[TurnShape, ...], masks: tuple[Mask, ...]) -> str:
    """What ends some turns that no answer follows, beside what ends them all the same."""
    last = _shown(masks)[-1]
    return template.closing(turns, last, lambda generation: _render(template, turns, masks, generation))


def cuts_thoughts(template: ChatTemplate, turns: tuple[TurnShape, ...], slot: int) -> bool:
    """Does the template leave out the thoughts with which a text begins?"""
    masks = [PLAIN] * texts_of(turns)
    masks[slot] = ("<think>", None, "</think>", None)
    try:
        return placeholder(slot, 1) not in template.render(turns, _shown(masks), generation=False)
    except BadModel:
        return False


def _render(template: ChatTemplate, turns: tuple[TurnShape, ...], masks: Sequence[Mask], generation: bool) -> str:
    """What the template writes of texts that it sees so. Where it takes no empty ones, what it writes around others."""
    try:
        return template.render(turns, _shown(masks), generation)
    except BadModel:
        if all(masks):
            raise
        whole = template.render(turns, _shown([mask or PLAIN for mask in masks]), generation)
        for slot, mask in enumerate(masks):
            whole = whole if mask else whole.replace(placeholder(slot), "")
        return whole


def _shown(masks: Sequence[Mask]) -> list[str]:
    return [_spelled(mask, slot, 0, len(mask), 0) for slot, mask in enumerate(masks)]


def _spelled(mask: Mask, slot: int, first: int, last: int, escapes: int) -> str:
    """Some parts of a text as a template writes them."""
    parts = range(first, last)
    text = "".join(placeholder(slot, part) if mask[part] is None else str(mask[part]) for part in parts)
    return escaped(text, escapes)


def escaped(text: str, times: int) -> str:
    """A text as it stands inside a JSON string, inside another one, and so on."""
    for _ in range(times):
        text = json.dumps(text, ensure_ascii=False)[1:-1]
    return text


def _parts(frame: TurnFrame, first: int, last: int) -> Iterator[WrittenPart]:
    yield WrittenPart(frame.before, frame.slot)
    yield WrittenPart("", frame.slot, first, last, frame.escapes, kept=True)
    yield WrittenPart(frame.after, frame.slot, closing=True)


def _aligned(frames: Sequence[TurnFrame], masks: Sequence[Mask], whole: str) -> tuple[WrittenPart, ...] | None:
    """The frames of plain texts, with as much of each text between them as the template left. None where it also wrote
    something else."""
    parts: list[WrittenPart] = []
    place = 0
    for index, frame in enumerate(frames):
        following = frame.after + (frames[index + 1].before if index + 1 < len(frames) else "")
        place += len(frame.before)
        for first, last in _kept(masks[frame.slot]):
            text = _spelled(masks[frame.slot], frame.slot, first, last, frame.escapes)
            if whole.startswith(frame.before + text + following, place - len(frame.before)):
                break
        else:
            return None
        parts += _parts(frame, first, last)
        place += len(text) + len(frame.after)
    return tuple(parts) if place == len(whole) else None


def _kept(mask: Mask) -> Iterator[tuple[int, int]]:
    """What a template may keep of a text, most first: all but a beginning, and the whitespace at its end or not."""
    ends = [len(mask)]
    if mask and (mask[-1] or "x").isspace():
        ends.append(len(mask) - 1)
    for first in range(len(mask) + 1):
        yield from ((first, end) for end in ends if first <= end)


def _found(whole: str, masks: Sequence[Mask]) -> Iterator[WrittenPart]:
    """The parts as they stand in a rendering. What is shown between two of one text is of it."""
    start, last = 0, WrittenPart()
    for found in PLACE.finditer(whole):
        slot, number, escapes = int(found[1]), int(found[2]), (len(found[3]) + 1).bit_length() - 1
        between = whole[start : found.start()]
        joins = last.kept and (last.slot, last.escapes) == (slot, escapes) and number >= last.last
        if joins and between == _spelled(masks[slot], slot, last.last, number, escapes):
            last, start = WrittenPart("", slot, last.first, number + 1, escapes, kept=True), found.end()
            continue
        if last.kept:
            yield last
        yield WrittenPart(between, slot, certain=False)
        last, start = WrittenPart("", slot, number, number + 1, escapes, kept=True), found.end()
    if last.kept:
        yield last
    yield WrittenPart(whole[start:], last.slot if last.kept else len(masks) - 1, closing=True, certain=False)


def _complete(
    parts: Iterator[WrittenPart], turns: Sequence[TurnShape], masks: Sequence[Mask]
) -> tuple[WrittenPart, ...]:
    made = tuple(parts)
    seen = {part.slot for part in made if part.kept}
    for turn, needed in needed_of(turns):
        for slot in needed:
            plain = all(part is None or part.isspace() for part in masks[slot])
            if plain and None in masks[slot] and slot not in seen:
                raise BadModel(f"the chat template does not write what {role_of(turn)} says")
    return made
