"""What a test's mock has a generation write: texts, and calls between them, instead of a model's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from alora_flow.backends.scripted import called, said
from alora_flow.values.plain import plain
from alora_runtime.requests import Completion, Request

if TYPE_CHECKING:
    from alora_flow.prompts.tokens import Tokenizer

UNKNOWN = object()
"""What no mock says."""


class ScriptedCall(NamedTuple):
    """A call of a callee, by its key; of a tool, with these arguments."""

    key: str
    arguments: Mapping[str, Any]


class Script:
    """One answer, part by part. arguments: of the call that was made last."""

    def __init__(self, parts: Iterable[str | ScriptedCall]) -> None:
        self._left = list(parts)
        self.arguments: Mapping[str, Any] = {}

    def next(self, request: Request, tokenizer: Tokenizer) -> Completion:
        """What is written up to the next call, or to the end."""
        text = ""
        while self._left:
            part = self._left.pop(0)
            if isinstance(part, ScriptedCall):
                self.arguments = part.arguments
                trigger = next(one for one in request.triggers if one.name == part.key)
                return called(request, tokenizer.encode_data(text), tokenizer, trigger)
            text += part
        return said(request, tokenizer.encode_data(text), tokenizer)


def answer_of(value: Any, tokenizer: Tokenizer) -> Completion:
    """A mocked value as what an adapter would have written, or arguments as a model would; of these only the text is
    read again."""
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    tokens = tokenizer.encode_data(text)
    return Completion(tokens, text, "length")
