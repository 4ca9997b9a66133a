"""What a cache holds, call by call: a radix tree of tokens and holes that follows the engine's rules, "What the cache
holds" in docs/architecture.md, without asking the engine, so that a run can break what was planned on it.

It remembers where the writings end that it met, so that a call costs what it adds to one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from alora_flow.planning.prompts import Prompt
from alora_flow.prompts.contents import Symbol
from alora_flow.prompts.writing import Writing
from alora_runtime.requests import Completion, Suspended

Key: TypeAlias = tuple[Symbol, str | None]
"""A token (or hole) and the digest of the adapter that it is computed under."""


@dataclass(eq=False, slots=True)
class Stem:
    """Some symbols under one adapter, behind those of another stem; it branches at its end only.

    length: symbols up to its end. ends: a call's prompt ended here, so the engine kept what it takes to answer from
    here again; rests: it is needed ever since. holds: calls whose sequence is needed up to its end, and stems behind it
    that any is needed of. tickets: of the backend's calls that retain all up to its end.
    """

    before: Stem | None = None
    symbols: tuple[Symbol, ...] = ()
    adapter: str | None = None
    children: dict[Key, Stem] = field(default_factory=dict)
    ends: bool = False
    length: int = 0
    rests: bool = False
    holds: int = 0
    tickets: tuple[int, ...] = ()


class Entered(NamedTuple):
    """How many leading tokens of a prompt were there already, and where it ends."""

    found: int
    end: Stem


class Ledger:
    """What the cache holds, call by call."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """The cache was emptied."""
        self._root = Stem()
        self._met: WeakKeyDictionary[Writing, dict[str | None, Stem]] = WeakKeyDictionary()
        self.size = 0  # tokens and holes in it
        self.held = 0  # those that are needed
        self.let_go: dict[int, int] = {}  # by ticket: only so many symbols need to be retained any more

    def enter(self, prompt: Prompt) -> Entered:
        """How much of a prompt is there already; all of it is afterwards.

        A prompt that is there as a whole still costs its last token, unless a call's prompt ended just there before.
        """
        end, found = self._follow(prompt, add=True)
        if found == len(prompt) and not end.ends:
            found -= 1
        end.ends = True
        return Entered(found, end)

    def known(self, prompt: Prompt) -> int:
        """How many leading tokens of a prompt are there."""
        return self._follow(prompt, add=False)[1]

    def needed_of(self, prompt: Prompt) -> int:
        """How many leading tokens of a prompt are needed already."""
        return self.needed_until(self._follow(prompt, add=False)[0])

    def answer(self, end: Stem, completion: Completion, resumes: Suspended | None, adapter: str | None) -> Stem:
        """A request has come to its end: what it wrote itself is there but for the last token, whose KV was never
        computed. Gives where that ends."""
        tokens = written(completion, resumes)
        if completion.suspended is not None:
            place = _common(tokens, completion.tokens[len(resumes.reply) if resumes else 0 :])
            end = self.write(end, tokens[:place], adapter, rests=True)
            tokens = tokens[place:]
        return self.write(end, tokens[:-1], adapter)

    def write(self, end: Stem, symbols: Sequence[Symbol], adapter: str | None, rests: bool = False) -> Stem:
        """A call has written behind its prompt; where that ends. `rests`: something was called there, and the engine
        kept what it takes to go on as if it had not been."""
        end, found = self._walk(end, tuple(symbols), adapter)
        end = self._grow(end, tuple(symbols[found:]), adapter)
        end.ends |= rests
        return end

    def hold(self, end: Stem) -> None:
        """All up to here is needed."""
        end.holds += 1
        while end.holds == 1 and end.before is not None:
            self.held += len(end.symbols)
            end = end.before
            end.holds += 1

    def retained(self, end: Stem, ticket: int) -> None:
        """The backend evicts all up to here after what is not needed, since a call left it that is needed."""
        end.tickets += (ticket,)

    def release(self, end: Stem) -> None:
        """One that needed all up to here does so no more. What others need of it stays retained."""
        tickets: tuple[int, ...] = ()
        end.holds -= 1
        while not end.holds and end.before is not None:
            self.held -= len(end.symbols)
            end.rests = False
            tickets += end.tickets
            end.tickets = ()
            end = end.before
            end.holds -= 1
        self.let_go.update(dict.fromkeys(tickets, 0))
        if tickets and not end.tickets and end.before is not None:
            self.let_go[tickets[0]] = end.length
            end.tickets = tickets[:1]

    @staticmethod
    def needed_until(end: Stem) -> int:
        """How much of all up to here is needed, and so there for a prompt that ends here."""
        if end.holds and not end.rests:
            return end.length - 1
        while not end.holds and end.before is not None:
            end = end.before
        return end.length

    def _follow(self, prompt: Prompt, add: bool) -> tuple[Stem, int]:
        """Where that ends which is there of a prompt, and how much it is; with `add`, where the prompt ends."""
        end, found, ahead = self._start(prompt)
        for symbols, adapter, part in _segments(prompt, found, ahead):
            end, same = self._walk(end, symbols, adapter)
            found += same
            if same < len(symbols):
                if not add:
                    break
                end = self._grow(end, symbols[same:], adapter)
            if part is not None:
                self._met.setdefault(part, {})[adapter] = end
        return end, found

    def _start(self, prompt: Prompt) -> tuple[Stem, int, list[Writing]]:
        """The longest beginning that was met before, and the writings behind it, last first, that one adapter computes
        as a whole."""
        ahead: list[Writing] = []
        adapter = prompt.adapter_at(0)
        for part in prompt.thread.parts():
            if part.length and prompt.adapter_at(part.length - 1) == adapter:
                met = self._met.get(part, {}).get(adapter)
                if met is not None:
                    return met, part.length, ahead
                ahead.append(part)
        return self._root, 0, ahead

    def _walk(self, end: Stem, symbols: tuple[Symbol, ...], adapter: str | None) -> tuple[Stem, int]:
        """How far symbols are there behind a stem, and the stem that ends there."""
        found = 0
        while found < len(symbols) and (child := end.children.get((symbols[found], adapter))):
            same = _common(child.symbols, symbols[found : found + len(child.symbols)])
            end = child if same == len(child.symbols) else _cut(child, same)
            found += same
        return end, found

    def _grow(self, end: Stem, symbols: tuple[Symbol, ...], adapter: str | None) -> Stem:
        if not symbols:
            return end
        self.size += len(symbols)
        grown = Stem(end, symbols, adapter, length=end.length + len(symbols))
        end.children[symbols[0], adapter] = grown
        return grown


def written(completion: Completion, resumes: Suspended | None) -> tuple[int, ...]:
    """What a request has written itself, an invocation too."""
    if completion.suspended is not None:
        return tuple(completion.suspended.written[len(resumes.written) if resumes else 0 :])
    return completion.tokens[len(resumes.reply) if resumes else 0 :]


def _cut(stem: Stem, length: int) -> Stem:
    """A new stem for the beginning of one, which stays what it is to those who know where it ends."""
    assert stem.before is not None
    upper = Stem(
        stem.before,
        stem.symbols[:length],
        stem.adapter,
        length=stem.length - len(stem.symbols) + length,
        holds=min(stem.holds, 1),
    )
    stem.before.children[stem.symbols[0], stem.adapter] = upper
    stem.before, stem.symbols = upper, stem.symbols[length:]
    upper.children[stem.symbols[0], stem.adapter] = stem
    return upper


def _common(one: Sequence[Symbol], other: Sequence[Symbol]) -> int:
    """How many first symbols are the same."""
    if one == other:
        return len(one)
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _segments(
    prompt: Prompt, start: int, ahead: Sequence[Writing]
) -> Iterator[tuple[tuple[Symbol, ...], str | None, Writing | None]]:
    """The symbols of a prompt from one on, cut at the ends of writings and where its adapters begin."""
    for part in reversed(ahead):
        yield part.own, prompt.adapter_at(0), part
        start = part.length
    rest = prompt.since(start)
    begins = [prompt.active_from or 0, *(place for place, _ in prompt.switches)]
    cuts = [start, *(place for place in begins if place > start), start + len(rest)]
    for place, end in pairwise(cuts):
        if place < end:
            yield rest[place - start : end - start], prompt.adapter_at(place), None
