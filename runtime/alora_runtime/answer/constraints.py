"""Grammars on what is generated: which tokens may come next, and which must. By llguidance; no torch here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isinf

from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from tokenizers import Tokenizer, decoders

from alora_runtime.answer.first_space import behind_a_space, drops_first_space
from alora_runtime.answer.schema import bounded, most_bytes
from alora_runtime.errors import ConstraintError
from alora_runtime.prefix_space import Position, at
from alora_runtime.requests import Matcher


class Vocabulary:
    """The tokenizer as grammars see it, made when first needed (it costs up to a second for a large one)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @cached_property
    def _plain(self) -> _PlainText:
        return _PlainText(self._tokenizer)

    @cached_property
    def tokens(self) -> LLTokenizer:
        """The tokenizer for llguidance."""
        return LLTokenizer(self._plain)

    @property
    def spaces(self) -> tuple[int, ...]:
        """The tokens that are a space, where decoding drops the one that an answer begins with; else none."""
        return self._plain.spaces

    @cached_property
    def special(self) -> frozenset[int]:
        """Tokens that are no text."""
        return frozenset(self._plain.special_token_ids)

    @cached_property
    def _control(self) -> dict[str, int]:
        added = self._tokenizer.get_added_tokens_decoder()
        return {token.content: number for number, token in added.items() if number in self.special}

    def symbols(self, text: str) -> list[str | int]:
        """A text by its letters, and by the control tokens that it spells."""
        spelled = re.compile("|".join(map(re.escape, sorted(self._control, key=len, reverse=True))) or r"(?!)")
        found: list[str | int] = []
        start = 0
        for control in spelled.finditer(text):
            found += [*text[start : control.start()], self._control[control[0]]]
            start = control.end()
        return [*found, *text[start:]]

    def encoded(self, text: str) -> list[int]:
        """The tokens of a text, with the control tokens that it spells."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return tokens

    def spelled(self, text: str) -> list[int]:
        """The tokens of a text that stands behind other text; no control token among them, however it is spelled."""
        return self._plain(text)


class _PlainText:
    """A tokenizer that llguidance calls: no text is ever a control token, however it is spelled. What ends an answer is
    the task's business, so that llguidance has an end token of its own, which no model can write: `end`."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        known = LLTokenizer(_spelling_bytes(tokenizer).to_str())
        self.end = self.eos_token_id = known.vocab_size
        self.tokens = [known.decode_bytes([token]) for token in range(self.end)] + [b"<end of answer>"]
        self.special_token_ids = [*filter(known.is_special_token, range(self.end)), self.end]
        inside = at(tokenizer, Position.INSIDE)  # what is forced stands behind what was written
        self._tokenizer: Tokenizer = Tokenizer.from_str(inside.to_str())
        self._tokenizer.encode_special_tokens = True
        drops = drops_first_space(tokenizer, self.tokens)
        self.spaces = tuple(token for token, text in enumerate(self.tokens) if drops and text == b" ")

    def __call__(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return tokens


def _spelling_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """The same with a decoder that llguidance knows. Raises ConstraintError where tokens have no text of their own."""
    state = b"" if tokenizer.decoder is None else tokenizer.decoder.__getstate__()
    if any(kind in state for kind in (b"ByteLevel", b"ByteFallback")):
        return tokenizer
    if "▁".encode() not in state:
        kind = json.loads(state or "{}").get("type", "none")
        raise ConstraintError(
            f"a constraint needs tokens that are pieces of text, and the tokenizer's decoder is {kind}"
        )
    made: Tokenizer = Tokenizer.from_str(tokenizer.to_str())
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return made


LIMITS = LLParserLimits(max_items_in_row=1_000_000, step_max_items=10_000_000)
"""Enough for objects of thousands of properties that need not be there."""


def _json_grammar(schema: str) -> str:
    # Free whitespace would force hardly any token, and weak models fill it with newlines for ever. These are the
    # separators of json.dumps; a schema's "x-guidance" overrides them.
    separators = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    grammar: str = LLMatcher.grammar_from_json_schema(json.dumps(bounded(schema)), defaults=separators)
    return grammar


_GRAMMARS: Mapping[str, Callable[[str], str]] = {
    "regex": LLMatcher.grammar_from_regex,
    "json_schema": _json_grammar,
    "lark": LLMatcher.grammar_from_lark,
}


@dataclass(frozen=True)
class Constraint:
    """What an answer must match: a regular expression, a JSON schema, or a Lark grammar in llguidance's dialect."""

    kind: str
    text: str

    @classmethod
    def regex(cls, pattern: str) -> Constraint:
        """The whole answer matches `pattern` (Rust's regex syntax)."""
        return cls("regex", pattern)

    @classmethod
    def json_schema(cls, schema: str | Mapping[str, object]) -> Constraint:
        """The whole answer is JSON that `schema` allows, in one line, with `, ` and `: ` between its parts. Numbers lie
        within ±10^18 and have an end: as many digits after the point as their range needs (`schema.decimals`)."""
        return cls("json_schema", schema if isinstance(schema, str) else json.dumps(schema))

    @classmethod
    def lark(cls, text: str) -> Constraint:
        """The whole answer matches the rule `start`."""
        return cls("lark", text)

    @property
    def most_tokens(self) -> int | None:
        """So many tokens are enough for any answer, its stop token among them: no token writes less than a byte. None
        where the grammar sets no limit, as for what holds a string or a list."""
        if self.kind != "json_schema":
            return None
        most = most_bytes(self.text)
        return None if isinf(most) else int(most) + 1

    def check(self) -> None:
        """Raises ConstraintError with the compiler's message where this would compile for no vocabulary."""
        try:
            said = LLMatcher.validate_grammar(_GRAMMARS[self.kind](self.text))
        except ValueError as error:
            said = str(error)
        if said:
            first, *_, last = [line.strip() for line in said.splitlines()] * 2
            told = f"{first} {last.removeprefix('error: ')}" if first.endswith(":") else first
            raise ConstraintError(f"the {self.kind} constraint does not compile: {told}")

    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        """Compile. Raises ConstraintError with the compiler's message."""
        try:
            grammar = _GRAMMARS[self.kind](self.text)
            grammar = behind_a_space(grammar) if vocabulary.spaces else grammar
            matcher = LLMatcher(vocabulary.tokens, grammar, log_level=0, limits=LIMITS)
        except ValueError as error:
            raise ConstraintError(f"the {self.kind} constraint does not compile: {error}") from None
        if matcher.is_error():
            raise ConstraintError(f"the {self.kind} constraint does not compile: {matcher.get_error()}")
        return _GrammarMatcher(matcher, vocabulary.tokens.eos_token, vocabulary.spaces)


class _GrammarMatcher:
    """`end`: the token that means the end to llguidance; `barred`: tokens that come to nothing, where an answer begins
    with one. The mask of a place is computed once."""

    def __init__(self, matcher: LLMatcher, end: int, barred: Sequence[int] = ()) -> None:
        self._matcher, self._end, self._barred = matcher, end, barred
        self._allowed: bytes | None = None

    def forced(self) -> list[int]:
        tokens = self._matcher.compute_ff_tokens()
        for token in tokens:
            self.accept(token)
        return list(tokens)

    def mask(self) -> bytes:
        mask = self._mask()
        if self._matcher.is_error() or not (_any(mask) or self.accepting):
            raise ConstraintError(f"no token can continue the answer under its constraint{self._why()}")
        return mask

    def accept(self, token: int) -> None:
        self._allowed, self._barred = None, ()
        if not self._matcher.consume_token(token):
            raise ConstraintError(f"token {token} cannot continue the answer under its constraint{self._why()}")

    @property
    def accepting(self) -> bool:
        return bool(self._matcher.is_accepting())

    @property
    def done(self) -> bool:
        """llguidance does not always see by itself that nothing more can come."""
        return bool(self._matcher.is_stopped()) or (self.accepting and not _any(self._mask()))

    def _mask(self) -> bytes:
        if self._allowed is None:
            mask = bytearray(self._matcher.compute_bitmask())
            for token in (self._end, *self._barred):
                mask[token // 8] &= ~(1 << token % 8)
            self._allowed = bytes(mask)
        return self._allowed

    def _why(self) -> str:
        """The first line of what llguidance says; the state of its parser follows."""
        error = self._matcher.get_error().partition("\n")[0]
        return error and f": {error}"


def _any(mask: bytes) -> bool:
    return mask.count(0) < len(mask)
