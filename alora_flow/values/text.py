"""Text from outside, as tokenizers take it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def _encodable(text: str) -> str:
    """Raises ValueError for half of a surrogate pair: Python's strings may hold one, and no text does."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = f"U+{ord(text[error.start]):04X}"
        raise ValueError(f"{code} at place {error.start} is half of a character: decode the text as UTF-8") from None
    return text


UnicodeText = Annotated[str, AfterValidator(_encodable)]
