"""How long something is in the model's own tokens, and the part of it that is not longer than so many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from alora_flow.prompts.contents import Thread
from alora_flow.values.data import Document, passages, thread_of_chat
from alora_flow.values.history import ChatTurn

if TYPE_CHECKING:
    from alora_flow.prompts.thread import Prompter


def count_tokens(prompter: Prompter, value: Any) -> int:
    """Of a text as data; of documents as their turn says them, without its frame; of a chat or thread as the template
    writes its turns."""
    match value:
        case str():
            return len(prompter.tokenizer.encode_data(value))
        case Document():
            return count_tokens(prompter, passages([value]).text)
        case [Document(), *_]:
            return count_tokens(prompter, passages(value).text)
    thread = value if isinstance(value, Thread) else thread_of_chat(value)
    return len(prompter.thread_symbols(thread)) if thread else 0


def truncate(prompter: Prompter, value: Any, most: int) -> Any:
    """The beginning of a text or document; the first documents, the last of them cut; the system's turns and the newest
    turns of a chat. Raises ValueError for less than no token."""
    if most < 0:
        raise ValueError(f"nothing has {most} tokens")
    match value:
        case str():
            return _head(prompter, value, most)
        case Document():
            return _cut(prompter, [], value, most) or Document(text="")
        case [ChatTurn(), *_]:
            return _newest(prompter, value, most)
    return _first(prompter, value, most)


OF_TOKENS: dict[str, Callable[..., Any]] = {"count_tokens": count_tokens, "truncate": truncate}
"""Functions of the language that ask the model's tokenizer: each takes the prompter first."""


def _head(prompter: Prompter, text: str, most: int) -> str:
    """The characters of the first tokens, less those with which they would become other and more tokens."""
    tokens = prompter.tokenizer.encode_data(text)
    if len(tokens) <= most:
        return text
    head = prompter.tokenizer.spell(tokens[:most]).rstrip("\ufffd")  # a character of which only a part is there
    if not text.startswith(head):  # a tokenizer that writes other characters than it reads
        head = text[:most]
    return _shorter(head, lambda part: count_tokens(prompter, part) <= most)


def _shorter(text: str, fits: Callable[[str], bool]) -> str:
    while text and not fits(text):
        text = text[:-1]
    return text


def _cut(prompter: Prompter, before: list[Document], last: Document, most: int) -> Document | None:
    """The last of some documents, with as much of its text as has room behind the others; None where none has."""

    def left(text: str) -> int:
        return most - count_tokens(prompter, [*before, Document(text=text, title=last.title)])

    if left("") < 0:
        return None
    text = last.text if left(last.text) >= 0 else _head(prompter, last.text, left(""))
    return Document(text=_shorter(text, lambda part: left(part) >= 0), title=last.title)


def _first(prompter: Prompter, documents: Sequence[Document], most: int) -> list[Document]:
    kept: list[Document] = []
    for document in documents:
        cut = _cut(prompter, kept, document, most)
        if cut is None or (document.text and not cut.text):
            break
        kept.append(cut)
        if cut != document:
            break
    return kept


def _newest(prompter: Prompter, chat: list[ChatTurn], most: int) -> list[ChatTurn]:
    """The system's turns at the beginning stay. What is left begins with no answer and no tool's result, which belong
    to a turn that is gone."""
    start = next((place for place, turn in enumerate(chat) if turn.role != "system"), len(chat))
    for first in range(start, len(chat) + 1):
        kept = [*chat[:start], *chat[first:]]
        torn = first > start and first < len(chat) and chat[first].role in ("assistant", "tool_result")
        if not torn and count_tokens(prompter, kept) <= most:
            return kept
    return []
