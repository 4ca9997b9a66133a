"""A thread as a published intrinsic was trained on it: its sentences numbered, its documents as messages, and the
library's instruction behind them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

from alora_flow.errors import BadInput
from alora_flow.frozen import dataclass
from alora_flow.intrinsics.io_yaml import LAST_MESSAGE, IoYaml, Placeholder
from alora_flow.intrinsics.sentences import Sentence, numbered
from alora_flow.prompts.contents import Content, Hole, KnownText, Passages, Thread, Turn

STRING_DOCUMENTS = "You have access to the following documents:"
"""What `docs_as_message: string` begins with; adapters were trained on these words."""


@dataclass(frozen=True)
class Rewritten:
    """`literals`: which pieces of the last turn are the library's own words, where that turn is its instruction."""

    thread: Thread
    literals: Sequence[int]
    sentences: Mapping[str, Mapping[int, Sentence]] = field(default_factory=dict)


def rewritten(thread: Thread, io_yaml: IoYaml, arguments: Mapping[str, Content], invocation: str = "") -> Rewritten:
    """The thread as the io.yaml asks for it. `arguments`: of the call, for its instruction. `invocation`: the one text
    whose control tokens the instruction may spell.
    """
    sentences: Mapping[str, Mapping[int, Sentence]] = {}
    if io_yaml.marks:
        thread, sentences = numbered(thread, io_yaml.marks)
    if io_yaml.documents:
        thread = Thread.of(_documents_first(thread, io_yaml.documents))
    if io_yaml.instruction is None:
        return Rewritten(thread, (), sentences)
    pieces: list[Content] = []
    literals: list[int] = []
    for part in io_yaml.instruction:
        if isinstance(part, str):
            for text in filter(None, re.split(f"({re.escape(invocation)})", part) if invocation else [part]):
                literals.append(len(pieces))
                pieces.append(KnownText(text, control=text == invocation))
        else:
            pieces += _last_message(thread, io_yaml) if part == Placeholder(LAST_MESSAGE) else [arguments[part.name]]
    return Rewritten(thread.then(Turn("user", tuple(pieces))), literals, sentences)


def _last_message(thread: Thread, io_yaml: IoYaml) -> Iterator[Content]:
    """What the last turn says that is no document, as data."""
    turn = next((turn for turn in reversed(thread) if turn.role != "documents"), None)
    if turn is None:
        raise BadInput(f"{io_yaml.path}: its instruction repeats the last message, and the thread has none")
    for content in turn.content:
        if isinstance(content, Hole) and not turn.role:
            yield Hole(f"last message of {content.source}")
        else:
            yield KnownText(content.text) if isinstance(content, KnownText | Passages) else content


def _documents_first(thread: Thread, how: str) -> Iterator[Turn]:
    """The thread's documents in one user's message in front of all others, or in a turn each."""
    contents = [content for turn in thread if turn.role == "documents" for content in turn.content]
    holes = [content for content in contents if isinstance(content, Hole)]
    passages = [item for content in contents if not isinstance(content, Hole) for item in _items(content)]
    if holes:
        yield Turn("user", tuple(Hole(f"{hole.source} as {how}") for hole in holes))
    elif how == "roles":
        for number, (_, text) in enumerate(passages, start=1):
            yield Turn(f"document {number}", (KnownText(text),))
    elif passages:
        yield Turn("user", (KnownText(_written(passages, how)),))
    yield from (turn for turn in thread if turn.role != "documents")


def _items(content: Content) -> Sequence[tuple[str, str]]:
    return content.items if isinstance(content, Passages) else [("", content.text)]  # type: ignore[union-attr]


def _written(passages: Sequence[tuple[str, str]], how: str) -> str:
    if how == "json":
        titles = [{"title": title} if title else {} for title, _ in passages]
        return json.dumps(
            [
                {"text": text, **title, "doc_id": str(number)}
                for number, ((_, text), title) in enumerate(zip(passages, titles, strict=True), start=1)
            ]
        )
    texts = [f"[Document {number}]\n{text}" for number, (_, text) in enumerate(passages, start=1)]
    return "\n\n".join([STRING_DOCUMENTS, *texts])
