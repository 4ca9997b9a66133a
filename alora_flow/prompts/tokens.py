"""Text to token ids, with control tokens only where the flow's author or the chat template wrote them."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from tokenizers import AddedToken
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers.models import Unigram

from alora_flow.errors import BadModel
from alora_flow.prompts.memory import EncodingMemory
from alora_runtime.errors import ModelError
from alora_runtime.prefix_space import Position, at
from alora_runtime.tokenizer_file import load_tokenizer

MEMORY = 16 << 20
"""Bytes of texts and their tokens that a tokenizer keeps, for the author's texts and for data each."""

BLANKS = re.compile(r"\A[^\S\x1c-\x1f]+")
"""What tokenizers take for blanks, at the beginning of a text."""

__all__ = ["Position", "Tokenizer"]


class Tokenizer:
    """A model folder's `tokenizer.json`. Encodes piece by piece; never adds tokens of its own.

    control: the texts of all control tokens. prefixes: does it put a space before a text? Then `Position` says where a
    piece stands, so that a text gets that space once.
    """

    def __init__(self, folder: Path) -> None:
        """Raises BadModel when the folder has no readable tokenizer."""
        try:
            self._tokenizer = load_tokenizer(folder)
        except ModelError as error:
            raise BadModel(
                f"the tokenizer of {folder} can't be read: {error.message}",
                error.help or "a model folder holds config.json, model.safetensors, tokenizer.json and a chat template",
            ) from error
        added = self._tokenizer.get_added_tokens_decoder()
        self._control = {token.content: number for number, token in added.items() if not _is_text(token)}
        self._control_ids = frozenset(self._control.values()) - {_unknown(self._tokenizer)}
        self.control = frozenset(self._control)
        self._swallowing = frozenset(number for number, token in added.items() if token.rstrip)
        longest_first = sorted(self._control, key=len, reverse=True)
        self._forgery = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._at = cache(lambda place: at(self._tokenizer, place))
        self.prefixes = self._at(Position.INSIDE) is not self._tokenizer
        self._memories = {
            (place, control): EncodingMemory(partial(encode, place), MEMORY // (len(Position) if self.prefixes else 1))
            for place in (Position if self.prefixes else (Position.FIRST,))
            for control, encode in ((True, self._encode_control), (False, self._encode_data))
        }
        self.encode_control = self._memories[Position.FIRST, True]
        self.encode_data = self._memories[Position.FIRST, False]

    def encode(self, text: str, place: Position, control: bool) -> tuple[int, ...]:
        """Token ids of a piece of a text. `control`: it may spell control tokens; else it is data."""
        return self._memories[place if self.prefixes else Position.FIRST, control](text)

    def left(self, text: str, before: object) -> str:
        """What of a text is tokenised behind a token: some, as Phi-3's, swallow the blanks that follow."""
        return BLANKS.sub("", text) if before in self._swallowing else text

    def _encode_control(self, place: Position, text: str) -> tuple[int, ...]:
        """Token ids of a literal or of template text: `<|role|>` and its like become control tokens."""
        return tuple(self._at(place).encode(text, add_special_tokens=False).ids)

    def _encode_data(self, place: Position, text: str) -> tuple[int, ...]:
        """Token ids of data: no input can become a control token, whatever it spells."""
        ids = self._joined(place, self._disarm(text))
        if self._control_ids.isdisjoint(ids):
            return ids
        # A normaliser can still spell a control token out of other characters; letter by letter none survives.
        return tuple(token for token in self._joined(place, iter(text)) if token not in self._control_ids)

    def _joined(self, place: Position, pieces: Iterator[str]) -> tuple[int, ...]:
        ids: list[int] = []
        for piece in pieces:
            ids += self._encode_control(Position.INSIDE if ids and self.prefixes else place, piece)
        return tuple(ids)

    def _disarm(self, text: str) -> Iterator[str]:
        """The text cut one character into everything that spells a control token."""
        start = 0
        for match in self._forgery.finditer(text):
            yield text[start : match.start() + 1]
            start = match.start() + 1
        yield text[start:]

    def some(self, tokens: tuple[int, ...], text: str, start: int, end: int) -> tuple[int, ...] | None:
        """Those of the tokens that spell `text[start:end]` of their text; None where it ends within one."""
        counts = range(len(tokens) + 1)
        first = bisect_left(counts, start, key=lambda count: len(self.spell(tokens[:count]))) if start else 0
        last = bisect_left(counts, end, key=lambda count: len(self.spell(tokens[:count])))
        if end == len(text):
            last = len(tokens)
        found = tokens[first:last]
        whole = self.spell(tokens[:first]) + text[start:end] + self.spell(tokens[last:])
        return found if self.spell(found) == text[start:end] and whole == text else None

    def control_token(self, text: str) -> int | None:
        """The id of a control token by its text."""
        return self._control.get(text)

    def has(self, token: int) -> bool:
        """Is there a token of this id?"""
        return self._tokenizer.id_to_token(token) is not None

    def is_control(self, token: int) -> bool:
        """Is it a control token, which no data can make?"""
        return token in self._control_ids

    def decode(self, tokens: tuple[int, ...]) -> str:
        """The text of some tokens, control tokens left out."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def spell(self, tokens: tuple[int, ...]) -> str:
        """The text of some tokens with control tokens shown: for messages and plans."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))


def _is_text(token: AddedToken) -> bool:
    """Is it there for a frequent text? Gemma has newlines and blanks among its added tokens, others rare letters. What
    is made of other signs may mean something to the model, though it is no special token: Qwen's `<tool_call>`, say."""
    text = token.content.replace("▁", " ")
    return not token.special and (len(text) == 1 or all(sign.isalnum() or sign.isspace() for sign in text))


def _unknown(tokenizer: HuggingFaceTokenizer) -> int | None:
    """The token for characters that a tokenizer does not know. It is listed as a special one, and any text makes it."""
    if isinstance(tokenizer.model, Unigram):
        number = json.loads(tokenizer.model.__getstate__())["unk_id"]
        return None if number is None else int(number)
    text = getattr(tokenizer.model, "unk_token", None)
    return None if text is None else tokenizer.token_to_id(text)
