"""Grammars on what is generated: which tokens may come next, and which must. By llguidance; no torch here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from llguidance import LLMatcher, LLTokenizer
from tokenizers import Tokenizer

from alora_runtime.errors import ConstraintError
from alora_runtime.requests import Matcher


class Vocabulary:
    """The tokenizer as grammars see it, made when first needed (it costs up to a second for a large one)."""

    def __init__(self, tokenizer: Tokenizer, eos: Sequence[int]) -> None:
        self._tokenizer, self._eos = tokenizer, list(eos)

    @cached_property
    def tokens(self) -> LLTokenizer:
        """The tokenizer for llguidance."""
        return LLTokenizer(self._tokenizer.to_str(), eos_token=self._eos or None)


def _json_grammar(schema: str) -> str:
    # Free whitespace would force hardly any token, and weak models fill it with newlines for ever. These are the
    # separators of json.dumps; a schema's "x-guidance" overrides them.
    separators = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    grammar: str = LLMatcher.grammar_from_json_schema(schema, defaults=separators)
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
        """The whole answer is JSON that `schema` allows."""
        return cls("json_schema", schema if isinstance(schema, str) else json.dumps(schema))

    @classmethod
    def lark(cls, text: str) -> Constraint:
        """The whole answer matches the rule `start`."""
        return cls("lark", text)

    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        """Compile. Raises ConstraintError with the compiler's message."""
        try:
            matcher = LLMatcher(vocabulary.tokens, _GRAMMARS[self.kind](self.text), log_level=0)
        except ValueError as error:
            raise ConstraintError(f"the {self.kind} constraint does not compile: {error}") from None
        if matcher.is_error():
            raise ConstraintError(f"the {self.kind} constraint does not compile: {matcher.get_error()}")
        return _GrammarMatcher(matcher)


class _GrammarMatcher:
    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def forced(self) -> list[int]:
        tokens = self._matcher.compute_ff_tokens()
        for token in tokens:
            self.accept(token)
        return list(tokens)

    def mask(self) -> bytes:
        mask: bytes = self._matcher.compute_bitmask()
        if self._matcher.is_error() or not any(mask):
            raise ConstraintError(f"no token can continue the answer under its constraint {self._matcher.get_error()}")
        return mask

    def accept(self, token: int) -> None:
        if not self._matcher.consume_token(token):
            raise ConstraintError(f"token {token} cannot continue the answer under its constraint")

    @property
    def accepting(self) -> bool:
        return bool(self._matcher.is_accepting())

    @property
    def done(self) -> bool:
        return bool(self._matcher.is_stopped())
