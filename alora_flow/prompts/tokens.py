"""Text to token ids, with control tokens only where the flow's author or the chat template wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer as HuggingFaceTokenizer

from alora_flow.errors import BadModel
from alora_flow.prompts.memory import EncodingMemory

MEMORY = 16 << 20
"""Bytes of texts and their tokens that a tokenizer keeps, for the author's texts and for data each."""


class Tokenizer:
    """A model folder's `tokenizer.json`. Encodes piece by piece; never adds tokens of its own."""

    def __init__(self, folder: Path) -> None:
        """Raises BadModel when the folder has no readable tokenizer."""
        try:
            self._tokenizer = HuggingFaceTokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the tokenizers library raises bare Exception
            raise BadModel(
                f"{folder} has no readable tokenizer.json ({error})",
                "a model folder holds config.json, model.safetensors, tokenizer.json and a chat template",
            ) from error
        added = self._tokenizer.get_added_tokens_decoder()
        self._control = {token.content: token_id for token_id, token in added.items()}
        self._control_ids = frozenset(added)
        longest_first = sorted(self._control, key=len, reverse=True)
        self._forgery = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self.encode_control = EncodingMemory(self._encode_control, MEMORY)
        self.encode_data = EncodingMemory(self._encode_data, MEMORY)

    def _encode_control(self, text: str) -> tuple[int, ...]:
        """Token ids of a literal or of template text: `<|role|>` and its like become control tokens."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _encode_data(self, text: str) -> tuple[int, ...]:
        """Token ids of data: no input can become a control token, whatever it spells."""
        ids = tuple(token for piece in self._disarm(text) for token in self._encode_control(piece))
        if self._control_ids.isdisjoint(ids):
            return ids
        # A normaliser can still spell a control token out of other characters; letter by letter none survives.
        return tuple(
            token for letter in text for token in self._encode_control(letter) if token not in self._control_ids
        )

    def _disarm(self, text: str) -> Iterator[str]:
        """The text cut one character into everything that spells a control token."""
        start = 0
        for match in self._forgery.finditer(text):
            yield text[start : match.start() + 1]
            start = match.start() + 1
        yield text[start:]

    def control_token(self, text: str) -> int | None:
        """The id of a control token by its text."""
        return self._control.get(text)

    def is_control(self, token: int) -> bool:
        """Is it a control token, which no data can make?"""
        return token in self._control_ids

    def decode(self, tokens: tuple[int, ...]) -> str:
        """The text of some tokens, control tokens left out."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def spell(self, tokens: tuple[int, ...]) -> str:
        """The text of some tokens with control tokens shown: for messages and plans."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))
