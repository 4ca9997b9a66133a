"""How a chat template writes an assistant's call of a tool, and the result behind it."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

from alora_flow.errors import BadModel
from alora_flow.prompts.messages import NO_CONTENT, THOUGHTS
from alora_flow.prompts.template import TEXT, ChatTemplate, MessageShape, TurnShape

ARGUMENTS: tuple[object, ...] = ({}, "{}")
"""As templates take them: an object or its JSON."""
IDS = "calltool{}", "functions.{}:{}"
"""For templates that write an id of nine letters and digits, and for those in which the id names the tool (Kimi K2)."""
SOME = "\ue004"
"""Thoughts."""
CALLS = 9
"""Calls of one thread that are known by what a template writes of them, where it counts them; so many have an id of
nine letters."""
RECIPIENT = re.compile(r" ?to=(\S+?)<\|channel\|>commentary json<\|message\|>")
"""What gpt-oss's template writes for a call. The model was trained to write the recipient behind the channel, too."""
BEHIND_CHANNEL = r"<|channel|>commentary to=\1 <|constrain|>json<|message|>"


class CallForm(NamedTuple):
    """A call of the tool `name`. befores: what may stand before the arguments, as JSON, and the call's id in each: of
    the first call of a thread, of a second one … behind: what stands behind them. apart: the template writes a result
    only behind a call that it is told of as such. thoughts: what stands around an answer's thoughts in front of it.
    says: the template writes what else an answer says in front of one."""

    name: str
    befores: dict[str, str]
    behind: str
    apart: bool = False
    thoughts: tuple[str, str] | None = None
    says: bool = True

    def thoughts_in(self, text: str) -> str:
        """What of an answer's text are thoughts."""
        before, behind = self.thoughts or ("", "")
        found = re.search(f"{re.escape(before)}(.*?){re.escape(behind)}", text, re.DOTALL) if behind else None
        return found[1] if found else ""


def writes_calls(template: ChatTemplate) -> bool:
    """Does a template look for calls of tools?"""
    return "tool_calls" in template.constants | template.names


@lru_cache(maxsize=64)
def call_form(template: ChatTemplate, name: str, end: str) -> CallForm | None:
    """The form of a call of the tool `name`; None where the template has none in which all arguments stand as one JSON
    object. `end`: the text that ends a turn."""
    if not writes_calls(template):
        return None
    for arguments, nothing, ids in product(ARGUMENTS, NO_CONTENT, IDS):
        one = _Asking(template, name, end, arguments, nothing, ids)
        first = one.written(0)
        if first is not None:
            befores = {first[0]: one.id(0)}
            for number in range(1, CALLS):
                before, _ = one.written(number) or first
                if before in befores:  # it does not count
                    break
                befores[before] = one.id(number)
            if template.control_at_start("<|constrain|>"):
                named = {RECIPIENT.sub(BEHIND_CHANNEL, before): id for before, id in befores.items()}
                befores |= {before: id for before, id in named.items() if before not in befores}
            return CallForm(name, befores, first[1], one.apart, one.thoughts, one.says)
    return None


class _Asking(NamedTuple):
    """One way to tell a template of calls."""

    template: ChatTemplate
    name: str
    end: str
    arguments: object
    nothing: dict[str, Any]
    ids: str

    def id(self, number: int) -> str:
        """Of a thread's call of this number, from 0 on."""
        names_it = self.ids.count("{}") == 2
        return self.ids.format(self.name, number) if names_it else self.ids.format(number + 1)

    def turn(self, number: int, **more: str) -> MessageShape:
        """The turn that calls."""
        function = {"name": self.name, "arguments": self.arguments}
        call = {"id": self.id(number), "type": "function", "function": function}
        asking = {"role": "assistant", **self.nothing, "tool_calls": [call], **more}
        return MessageShape("assistant", json.dumps(asking), 0)

    def result(self, number: int) -> MessageShape:
        """The turn with what a call gave, which is a text."""
        told = {"role": "tool", "tool_call_id": self.id(number), "name": self.name, "content": f"{TEXT}0"}
        return MessageShape("tool", json.dumps(told), 1)

    def render(self, *turns: TurnShape, generation: bool = False) -> str | None:
        """What the template writes behind a user's turn; None where it refuses."""
        texts = ["?", *("!" for turn in turns if isinstance(turn, str) or turn.texts)]
        try:
            return self.template.render(("user", *turns), texts, generation)
        except BadModel:
            return None

    def written(self, number: int) -> tuple[str, str] | None:
        """What stands before and behind the arguments of a call that `number` others stand before."""
        earlier = [turn for one in range(number) for turn in (self.turn(one), self.result(one))]
        opened, whole = self.render(*earlier, generation=True), self.render(*earlier, self.turn(number))
        if opened is None or whole is None or not whole.startswith(opened):
            return None
        before, found, behind = whole.removeprefix(opened).partition("{}")
        if not found or self.name not in before:
            return None
        before = before.removeprefix(self._no_thoughts(opened, earlier, number, whole)).lstrip("\n")
        if self.template.control_at_start(before.lstrip()):  # a space in front of one is no part of it
            before = before.lstrip()
        return before, (behind.partition(self.end)[0] if self.end else behind).rstrip()

    def _no_thoughts(self, opened: str, earlier: list[MessageShape], number: int, whole: str) -> str:
        """What the template writes in front of a call without thoughts for that there are none: the model has written
        its own."""
        before, close, behind = self._thinking(opened, *earlier, self.turn(number, **dict.fromkeys(THOUGHTS, SOME)))
        return before + close if close and whole == opened + before + close + behind else ""

    def _thinking(self, opened: str, *turns: TurnShape) -> tuple[str, str, str]:
        """What stands before thoughts, what closes them, and the rest; nothing closes them where none are written."""
        before, _, behind = (self.render(*turns) or "").removeprefix(opened).partition(SOME)
        close = self.template.control_at_start(behind)
        return before, close, behind.removeprefix(close)

    @property
    def apart(self) -> bool:
        """Is a result only written as one behind a call in a form of its own?"""
        if "tool" not in self.template.constants or self.render(self.turn(0), self.result(0)) is None:
            return False
        opened, said = self.render(generation=True), self.render("assistant", self.result(0), "assistant")
        return said is None or not said.startswith(f"{opened}!")

    @property
    def says(self) -> bool:
        """Does the template write what is said in the same turn?"""
        return SOME in (self.render(self.turn(0, content=SOME)) or "")

    @property
    def thoughts(self) -> tuple[str, str] | None:
        """What stands around thoughts, if the template writes them beside a call."""
        opened, turn = self.render(generation=True) or "", self.turn(0, **dict.fromkeys(THOUGHTS, SOME))
        before, close, _ = self._thinking(opened, turn)
        return (before, close) if close else None
