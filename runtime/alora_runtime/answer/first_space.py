"""The space that some models write before an answer, and that decoding drops: no grammar needs to know of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tokenizers import Tokenizer


def drops_first_space(tokenizer: Tokenizer, spelled: Sequence[bytes]) -> bool:
    """Does the tokenizer's decoder drop the space with which a text begins? `spelled`: its tokens as bytes."""
    spaced = (token for token, text in enumerate(spelled) if text[:1] == b" " and text[1:].isalnum())
    some = next(spaced, None)
    return some is not None and not tokenizer.decode([some]).startswith(" ")


def behind_a_space(grammar: str) -> str:
    """The same grammar, in llguidance's form or dialect, whose text may begin with a space."""
    if grammar.startswith("{"):
        first, *others = json.loads(grammar)["grammars"]
    else:
        first, others = {"lark_grammar": grammar}, []
    start = {"lark_grammar": 'start: " "? @answer'}
    return json.dumps({"grammars": [start, {**first, "name": "answer"}, *others]})
