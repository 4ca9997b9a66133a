"""The space that SentencePiece-like tokenizers put before a text, which pieces of one text must not get each.

They write it in one of three ways: a normaliser that prepends `▁`, a Metaspace pre-tokenizer, or `add_prefix_space`.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from tokenizers import Tokenizer


class Position(Enum):
    """Where a piece stands: at the beginning of all, behind a control token, or behind other text."""

    FIRST = 0
    SECTION = 1
    INSIDE = 2


def at(tokenizer: Tokenizer, place: Position) -> Tokenizer:
    """The tokenizer for pieces at a place: itself, where these are encoded as a text of their own is."""
    if place is Position.FIRST:
        return tokenizer
    small = Tokenizer.from_str('{"version":"1.0","model":{"type":"BPE","vocab":{},"merges":[]}}')
    parts: dict[str, Any] = {}
    for name in ("normalizer", "pre_tokenizer"):
        part = getattr(tokenizer, name)
        parts[name] = json.loads(part.__getstate__()) if part is not None else None
    changed = {name: _changed(part, place) for name, part in parts.items()}
    if changed == parts:
        return tokenizer
    whole = json.loads(small.to_str())
    made = Tokenizer.from_str(json.dumps({**whole, **changed}))
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.normalizer, copy.pre_tokenizer = made.normalizer, made.pre_tokenizer
    return copy


def _changed(part: Any, place: Position) -> Any:
    """A part of a tokenizer that writes no space where a piece does not begin a text."""
    if not isinstance(part, dict):
        return part
    inner = {name: [_changed(one, place) for one in some] for name, some in part.items() if isinstance(some, list)}
    changed = {**part, **{name: some for name, some in inner.items() if name in ("normalizers", "pretokenizers")}}
    if "normalizers" in changed:
        changed["normalizers"] = [one for one in changed["normalizers"] if one is not None]
    match part.get("type"):
        case "Metaspace" if part.get("prepend_scheme") == "first" or place is Position.INSIDE:
            return {**changed, "prepend_scheme": "never"}
        case "ByteLevel" if place is Position.INSIDE:
            return {**changed, "add_prefix_space": False}
        case "Prepend" if place is Position.INSIDE:
            return None
    return changed
