"""The invocations that one growing answer may hold, as token ids and as text. No torch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from alora_runtime.answer.automaton import Automaton, Search
from alora_runtime.answer.constraints import Vocabulary
from alora_runtime.answer.detokenizer import Detokenizer
from alora_runtime.errors import RequestError
from alora_runtime.requests import TextTrigger, Trigger

_automaton = lru_cache(maxsize=64)(Automaton)


class Invoked(NamedTuple):
    """Whose invocation it is, and its tokens. It ends before token `end` and begins behind `before` tokens and `rest`:
    the tokens of what stands, in the one that follows, before the invocation."""

    end: int
    before: int
    rest: Sequence[int]
    name: str
    tokens: Sequence[int]


class Kind(Protocol):
    """Triggers of one kind on one answer. Numbers of tokens leave out what the answer had before."""

    def push(self, token: int) -> bool:
        """One more token; whether it is certain now which invocation it is."""

    @property
    def found(self) -> Invoked | None:
        """What ends the answer, if nothing better follows."""

    @property
    def clear(self) -> tuple[int, int | None]:
        """So many tokens, and letters where these are looked at, belong to no invocation, whatever follows."""


class _InTokens:
    def __init__(self, triggers: Sequence[Trigger]) -> None:
        self._triggers = triggers
        self._search = Search(_automaton(tuple(tuple(trigger.tokens) for trigger in triggers)))
        self.push = self._search.push

    @property
    def found(self) -> Invoked | None:
        found = self._search.found
        if found is None:
            return None
        trigger = self._triggers[found.which]
        return Invoked(found.end, found.start, (), trigger.name, trigger.tokens)

    @property
    def clear(self) -> tuple[int, int | None]:
        return self._search.clear, None


class _InText:
    def __init__(self, triggers: Sequence[TextTrigger], text: Detokenizer, vocabulary: Vocabulary) -> None:
        self._triggers, self._text, self._vocabulary = triggers, text, vocabulary
        self._earlier = len(text.ends)
        self._search = Search(_automaton(tuple(trigger.text for trigger in triggers)), len(text.text))

    def push(self, token: int) -> bool:
        """The text has this token already."""
        return any(map(self._search.push, self._text.text[self._search.length :]))

    @property
    def found(self) -> Invoked | None:
        found = self._search.found
        if found is None:
            return None
        before = self._whole_tokens(found.start)
        letters = self._text.text[self._text.ends[before - 1] if before else 0 : found.start]
        rest = self._vocabulary.spelled(letters) if letters else ()
        trigger = self._triggers[found.which]
        end = self._text.tokens_of(found.end) - self._earlier
        return Invoked(end, before - self._earlier, rest, trigger.name, self._vocabulary.spelled(trigger.text))

    @property
    def clear(self) -> tuple[int, int | None]:
        return self._whole_tokens(self._search.clear) - self._earlier, self._search.clear

    def _whole_tokens(self, length: int) -> int:
        """How many tokens end within the first `length` letters, and with a whole letter."""
        ends = self._text.ends
        count = len(ends) if ends and length >= ends[-1] else bisect_right(ends, length)
        while count > self._earlier and ends[count - 1] == (ends[count - 2] if count > 1 else 0):
            if self._text.tokens[count - 1] in self._vocabulary.special:
                break
            count -= 1
        return count


class _InBoth(_InText):
    """Of control tokens and the text between them: a symbol is a control token, or a letter. Some tokenizers put a
    space behind a control token, and some decoders drop one there: spaces there are no symbols."""

    def __init__(self, triggers: Sequence[TextTrigger], text: Detokenizer, vocabulary: Vocabulary) -> None:
        super().__init__(triggers, text, vocabulary)
        patterns = (vocabulary.symbols(trigger.text) for trigger in triggers)
        self._search = Search(_automaton(tuple(tuple(_without_spaces(pattern)) for pattern in patterns)))
        self._letters, self._behind_control = len(text.text), False
        self._places: list[tuple[int, int | None]] = []  # of each symbol: its token, and which letter it is

    def push(self, token: int) -> bool:
        """The text has this token already."""
        place, start, decided = len(self._text.tokens) - 1, self._letters, False
        self._letters = len(self._text.text)
        for number, letter in enumerate(self._text.text[start:], start):
            if letter != " " or not self._behind_control:
                self._behind_control = False
                self._places.append((place, number))
                decided |= self._search.push(letter)
        if token in self._vocabulary.special:
            self._behind_control = True
            self._places.append((place, None))
            decided |= self._search.push(token)
        return decided

    @property
    def found(self) -> Invoked | None:
        found = self._search.found
        if found is None:
            return None
        trigger, (place, letter) = self._triggers[found.which], self._places[found.start]
        before = place if letter is None else self._whole_tokens(letter)
        letters = "" if letter is None else self._text.text[self._text.ends[before - 1] if before else 0 : letter]
        rest = self._vocabulary.spelled(letters) if letters else ()
        end = self._places[found.end - 1][0] + 1 - self._earlier
        return Invoked(end, before - self._earlier, rest, trigger.name, self._vocabulary.encoded(trigger.text))

    @property
    def clear(self) -> tuple[int, int | None]:
        if self._search.clear == len(self._places):
            letters = self._letters
        else:
            place, letter = self._places[self._search.clear]
            letters = (self._text.ends[place - 1] if place else 0) if letter is None else letter
            if letter is None:
                return place - self._earlier, letters
        return self._whole_tokens(letters) - self._earlier, letters


def _without_spaces(symbols: Sequence[str | int]) -> Iterator[str | int]:
    """Without those behind control tokens."""
    behind_control = False
    for symbol in symbols:
        if not (behind_control and symbol == " "):
            yield symbol
            behind_control = isinstance(symbol, int)


class Watch:
    """All triggers on one answer. Of two kinds the one counts that is whole first."""

    def __init__(
        self, triggers: Sequence[Trigger | TextTrigger], text: Detokenizer | None, vocabulary: Vocabulary | None
    ) -> None:
        """`text`: what the answer had before. Raises RequestError for text triggers where there is no tokenizer."""
        self.kinds: list[Kind] = []
        if in_tokens := [trigger for trigger in triggers if isinstance(trigger, Trigger)]:
            self.kinds.append(_InTokens(in_tokens))
        for control, kind in ((False, _InText), (True, _InBoth)):
            mine = [one for one in triggers if isinstance(one, TextTrigger) and one.control == control]
            in_text = [TextTrigger(one.name, spelt, control) for one in mine for spelt in one.texts]
            if in_text and (text is None or vocabulary is None):
                raise RequestError("text triggers need a tokenizer, and the model folder has no tokenizer.json")
            if in_text and text is not None and vocabulary is not None:
                self.kinds.append(kind(in_text, text, vocabulary))

    def push(self, token: int) -> bool:
        """One more token, which the text has already; whether it is certain now which invocation it is."""
        decided = False
        for kind in self.kinds:
            decided |= kind.push(token)
        return decided

    @property
    def found(self) -> Invoked | None:
        """What ends the answer, if nothing better follows."""
        return min(filter(None, (kind.found for kind in self.kinds)), key=lambda one: one[:2], default=None)

    @property
    def clear(self) -> tuple[int, int | None]:
        """So many tokens, and letters where these are looked at, belong to no invocation, whatever follows."""
        tokens, letters = self.kinds[0].clear
        for kind in self.kinds[1:]:
            fewer, less = kind.clear
            tokens = min(tokens, fewer)
            letters = less if letters is None else letters if less is None else min(letters, less)
        return tokens, letters
