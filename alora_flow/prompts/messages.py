"""A thread as the messages that a chat template takes.

Templates differ in the roles that they know and in the order in which they take them. What a template has no form for
is said in a user's turn: documents, a tool's result, what the system says. The first form that it writes is taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, TypeAlias

from alora_flow.errors import BadModel
from alora_flow.frozen import dataclass
from alora_flow.prompts.contents import Content, KnownText, Passages, Thread, Turn
from alora_flow.prompts.template import DOCUMENTS, TEXT, ChatTemplate, MessageShape, TurnShape

Text: TypeAlias = tuple[tuple[int, Content], ...]
"""Pieces of one text, each with the place of its turn in the thread."""

JOINT = KnownText("\n\n", control=True)
"""Between turns that are written as one."""

DOCUMENTS_SAID = KnownText("Documents:\n\n", control=True)
RESULT_SAID = KnownText("Tool result:\n\n", control=True)
"""What a user's turn begins with that stands for documents, or for what a tool gave."""
SYSTEM_BY_USER = "has no place for the system's turn: the user's says it"

Arguments: TypeAlias = Callable[[str], Any]
ARGUMENTS: tuple[Arguments, ...] = (json.loads, str)
"""A call's arguments as an object, which most templates take, or as the JSON text that they were stored as."""
NO_CONTENT: tuple[dict[str, Any], ...] = ({}, {"content": None}, {"content": ""})
"""What a turn that only asks for tools has for a content: none at all, as transformers has it, or an empty one."""
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Fields in which templates look for an answer's thoughts."""


@dataclass(frozen=True)
class Message:
    """`shape` says how it is handed to the template, `texts` what it says."""

    shape: TurnShape
    texts: tuple[Text, ...]
    turn: int


Messages: TypeAlias = tuple[Message, ...]


class Messenger:
    """Threads to messages for one template. `is_control`: is a text a control token's?"""

    def __init__(self, template: ChatTemplate, control: frozenset[str]) -> None:
        self._template, self._control = template, control
        self._chosen: dict[tuple[TurnShape, ...], int] = {}

    def as_said(self, thread: Thread) -> Messages | None:
        """A message for each turn as the template takes it; None where it takes them in another form only."""
        first, _ = next(self._forms(thread))
        if shapes(first) not in self._chosen:
            self.messages(thread)
        handed = any(not isinstance(shape, str) and shape.role == DOCUMENTS for shape in shapes(first))
        return None if handed or self._chosen.get(shapes(first)) != 0 else first

    def messages(self, thread: Thread) -> Messages:
        """The first form that the template writes. Raises BadModel with its first refusal where there is none."""
        return self._choose(thread)[0]

    def notes(self, thread: Thread) -> tuple[str, ...]:
        """What the template has no form for, and how it is said instead. Raises BadModel likewise."""
        return self._choose(thread)[1]

    def _choose(self, thread: Thread) -> tuple[Messages, tuple[str, ...]]:
        asking = next((place for place, turn in enumerate(thread, start=1) if turn.calls), None)
        if asking and "tool_calls" not in self._mentioned:
            raise BadModel(
                f"the chat template of {self._template.folder} has no form for calls of tools, "
                f"which turn {asking} asks for",
                "leave those turns out of the history, or use a model with tool calling",
            )
        forms = self._forms(thread)
        first, note = next(forms)
        key = shapes(first)
        if self._chosen.get(key) == 0 or not key:
            return first, note
        refusal: BadModel | None = None
        for number, (messages, said) in enumerate([(first, note), *forms]):
            if self._chosen.get(key, number) != number:
                continue
            try:
                self._template.frames(shapes(messages))
            except BadModel as error:
                refusal = refusal or error
                continue
            self._chosen[key] = number
            return messages, said
        assert refusal is not None
        raise refusal

    def _forms(self, thread: Thread) -> Iterator[tuple[Messages, tuple[str, ...]]]:
        """All that may be tried, the template's own forms first; with what there is to say of each."""
        roles = {turn.role for turn in thread}
        documents = self._documents() if "documents" in roles else [None]
        results = self._results() if "tool_result" in roles else [None]
        callings = (
            list(product(ARGUMENTS, NO_CONTENT))
            if any(turn.calls for turn in thread)
            else [(json.loads, {"content": ""})]
        )
        for parted, document, result, (arguments, empty) in product((False, True), documents, results, callings):
            made = self._made(thread, document, result, arguments, empty)
            said: tuple[str, ...] = tuple(
                f"has no form for {what}: a user's turn says them"
                for what, form in (("documents", document), ("results of tools", result))
                if form == "user"
            )
            if not self._thoughts and any(turn.thoughts for turn in thread):
                said += ("has no form for thoughts beside an answer: they are left out",)
            form = _parted if parted else tuple
            yield form(made), said
            joined = _joined(made)
            if joined != made:
                yield form(joined), (*said, "takes no two turns of a role in a row: they are joined")
            if "system" in roles:
                if late := self._late(made):
                    yield form(late), (*said, SYSTEM_BY_USER)
                by_user = _joined(map(_by_user, made))
                yield form(by_user), (*said, SYSTEM_BY_USER)

    def _late(self, made: Messages) -> Messages | None:
        """With the system's turn inside the last user's, where the template writes it as long as no answer follows: so
        a thread goes on from the prompt of its last answer."""
        last = max((place for place, message in enumerate(made) if message.shape == "user"), default=0)
        try:
            order = [frame.slot for frame in self._template.frames(shapes(made[: last + 1]))]
        except BadModel:
            return None
        if made[0].shape != "system" or order[:1] == [0]:
            return None
        return _joined((*made[1:last], _by_user(made[0]), *made[last:]))

    @property
    def _thoughts(self) -> tuple[str, ...]:
        return tuple(field for field in THOUGHTS if field in self._mentioned)

    def _documents(self) -> list[str | None]:
        forms = ["documents"] if self._knows("documents") else []
        return [*forms, *([DOCUMENTS] if "documents" in self._template.names else []), "user"]

    def _results(self) -> list[str | None]:
        forms = [role for role in ("tool_result",) if self._knows(role)]
        return [*forms, *(role for role in ("tool", "ipython") if role in self._template.constants), "user"]

    def _knows(self, role: str) -> bool:
        """A template that writes any role as it is knows those for which there is a control token."""
        try:
            before = self._template.frames(("user", role))[-1].before
        except BadModel:
            return False
        return any(role in token and token in before for token in self._control)

    def _made(
        self, thread: Thread, documents: str | None, results: str | None, arguments: Arguments, empty: dict[str, Any]
    ) -> Messages:
        made: list[Message] = []
        count = 0
        for place, turn in enumerate(thread):
            if turn.role == "documents" and documents == DOCUMENTS:
                made.append(self._handed(place, turn, count))
                count += len(json.loads(made[-1].shape.form))  # type: ignore[union-attr]
            elif turn.role == "documents":
                made.append(_said(place, turn, str(documents), DOCUMENTS_SAID))
            elif turn.role == "tool_result":
                made.append(_said(place, turn, str(results), RESULT_SAID))
            elif turn.calls or (turn.thoughts and self._thoughts):
                made.append(_answering(place, turn, arguments, empty, self._thoughts if turn.thoughts else ()))
            elif turn.role:
                made.append(Message(turn.role, (text_of(place, turn.content),), place))
        return tuple(made)

    def _handed(self, place: int, turn: Turn, before: int) -> Message:
        """Documents as a template takes them. As many as are not known yet are handed over as one."""
        items: list[tuple[Text, Text]] = []
        for content in turn.content:
            if isinstance(content, Passages):
                said = [(title and [KnownText(title)], [KnownText(text)]) for title, text in content.items]
                items += [(text_of(place, heading or ()), text_of(place, body)) for heading, body in said]
            else:
                items.append(((), ((place, content),)))
        form: list[dict[str, Any]] = []
        texts: list[Text] = []
        for number, (title, text) in enumerate(items, start=before + 1):
            document: dict[str, Any] = {"doc_id": number} if "doc_id" in self._mentioned else {}
            if title:
                document["title"] = f"{TEXT}{len(texts)}"
                texts.append(title)
            elif "title" in self._mentioned:
                document["title"] = ""
            form.append({**document, "text": f"{TEXT}{len(texts)}"})
            texts.append(text)
        return Message(MessageShape(DOCUMENTS, json.dumps(form), len(texts)), tuple(texts), place)

    @property
    def _mentioned(self) -> frozenset[str]:
        return self._template.constants | self._template.names


def shapes(messages: Messages) -> tuple[TurnShape, ...]:
    """What a template needs to know of messages to frame them."""
    return tuple(message.shape for message in messages)


def is_plain(turn: Turn) -> bool:
    """Is it a role and one text for every template?"""
    return turn.role not in ("documents", "tool_result") and not turn.calls and not turn.thoughts


def text_of(place: int, contents: Sequence[Content]) -> Text:
    """What one turn says."""
    return tuple((place, content) for content in contents)


def _said(place: int, turn: Turn, role: str, opening: KnownText) -> Message:
    """Documents or a tool's result as a message of some role."""
    if role == "user":
        said = [KnownText(part.titled) if isinstance(part, Passages) else part for part in turn.content]
        return Message("user", (text_of(place, (opening, *said)),), place)
    fields = {"tool_call_id": turn.call_id, "name": turn.name}
    given = {name: value for name, value in fields.items() if value}
    if not given:
        return Message(role, (text_of(place, turn.content),), place)
    form = json.dumps({"role": role, "content": f"{TEXT}0", **given})
    return Message(MessageShape(role, form, 1), (text_of(place, turn.content),), place)


def _answering(place: int, turn: Turn, arguments: Arguments, empty: dict[str, Any], thoughts: Sequence[str]) -> Message:
    """An assistant's turn that asks for tools, or has thoughts. Their texts are data like any. empty: its content,
    where it has none; thoughts: the fields for these, if they are handed over."""
    texts: list[Text] = []

    def slot(value: Any) -> Any:
        match value:
            case str():
                texts.append(((place, KnownText(value)),))
                return f"{TEXT}{len(texts) - 1}"
            case list():
                return [slot(part) for part in value]
            case dict():
                return {name: slot(part) for name, part in value.items()}
        return value

    if turn.content:
        empty = {"content": f"{TEXT}0"}
        texts.append(text_of(place, turn.content))
    calls = []
    for call in turn.calls:
        function = {"name": call.name, "arguments": slot(arguments(call.arguments))}
        calls.append({**({"id": call.id} if call.id else {}), "type": "function", "function": function})
    fields: dict[str, Any] = {"tool_calls": calls} if calls else {}
    if thoughts:
        fields |= dict.fromkeys(thoughts, slot(turn.thoughts))
    form = json.dumps({"role": turn.role, **empty, **fields})
    return Message(MessageShape(turn.role, form, len(texts), optional=bool(thoughts)), tuple(texts), place)


def _by_user(message: Message) -> Message:
    return replace(message, shape="user") if message.shape == "system" else message


def _parted(messages: Messages) -> Messages:
    """With contents as lists of parts, which some templates for texts and images only take so."""
    made = []
    for message in messages:
        if isinstance(message.shape, str):
            form = {"role": message.shape, "content": [{"type": "text", "text": f"{TEXT}0"}]}
            message = replace(message, shape=MessageShape(message.shape, json.dumps(form), 1))
        made.append(message)
    return tuple(made)


def _joined(messages: Sequence[Message] | map[Message]) -> Messages:
    """Neighbours of one role as one message."""
    made: list[Message] = []
    for message in messages:
        last = made[-1] if made else None
        if last and isinstance(message.shape, str) and message.shape == last.shape:
            text = (*last.texts[0], (message.turn, JOINT), *message.texts[0])
            made[-1] = Message(last.shape, (text,), message.turn)
        else:
            made.append(message)
    return tuple(made)
