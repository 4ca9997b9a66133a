"""A model's chat template, cut into the text before and after every turn's content.

The cache shares prefixes, so a template should have the *prefix property*: rendering one more turn does not change what
was rendered before it. It is tried here, turn by turn, with placeholders for the contents. A template that lacks it is
cut as a whole for every thread: all is right, only less is shared, and `rewriting` says why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from jinja2 import Template, TemplateError

from alora_flow.errors import BadModel
from alora_flow.frozen import dataclass
from alora_flow.prompts.jinja import constants, environment, looked_for, names, read_templates
from alora_flow.prompts.locality import writes_by_turn

FEW, SOME = 2, 6
"""Turns at the beginning of a thread (a system's turn and the first of a user), and turns before the one looked at."""


class MessageShape(NamedTuple):
    """A turn that is more than a role and one text. `form`: JSON whose `texts` texts are numbers behind `TEXT`; a
    message, or, where the role is DOCUMENTS, the list that a template takes as `documents=`. `optional`: a template may
    leave out its last text, the thoughts of an answer."""

    role: str
    form: str
    texts: int
    optional: bool = False


TurnShape: TypeAlias = str | MessageShape  # a role alone is a message with one text

TEXT, DOCUMENTS = "\ue002", "documents="


@dataclass(frozen=True)
class TurnFrame:
    """The template's own text around one text of a turn. `slot`: which of all texts of the thread that is; `escapes`:
    how often it is written as JSON writes a string."""

    before: str
    after: str
    slot: int = field(default=0, compare=False)
    escapes: int = field(default=0, compare=False)


class _Framing(NamedTuple):
    """`rewriting`: how earlier turns were rewritten on the way, if they were."""

    frames: tuple[TurnFrame, ...]
    rewriting: str | None = None


class ChatTemplate:
    """The chat template of a model folder."""

    def __init__(self, folder: Path, control: Iterable[str] = (), file: Path | None = None) -> None:
        """`control`: texts of the tokenizer's control tokens, which are never cut. `file`: what the folder was made
        from, and messages name. Raises BadModel when there is no template or it is not Jinja."""
        self.folder = file or folder
        sources, self._special = read_templates(folder, self.folder)
        moment = datetime.now()  # one for all: at midnight no prefix changes
        made = environment(lambda: moment)
        try:
            self._templates = {name: made.from_string(source) for name, source in sources.items()}
            trees = [made.parse(source) for name, source in sources.items() if name in ("default", "rag")]
        except TemplateError as error:
            raise BadModel(f"the chat template of {self.folder} is broken: {error}") from error
        self.looks_for = frozenset[str]().union(*map(looked_for, trees))
        self.constants = frozenset[str]().union(*map(constants, trees))
        self.names = frozenset[str]().union(*map(names, trees))
        self.by_turn = all(map(writes_by_turn, trees)) and "</think>" not in self.looks_for
        self._control = re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))) or r"(?!)")
        self._render = lru_cache(maxsize=1024)(self._render_plainly)
        self._framing = lru_cache(maxsize=1024)(self._frame)

    def control_at_start(self, text: str) -> str:
        """The control token that a text begins with, if it does."""
        found = self._control.match(text)
        return found[0] if found else ""

    # ---------------------------------------------------------------- rendering

    def _render_plainly(self, turns: tuple[TurnShape, ...], generation: bool) -> str:
        return self.render(turns, [placeholder(slot) for slot in range(texts_of(turns))], generation)

    def render(self, turns: Sequence[TurnShape], texts: Sequence[str], generation: bool) -> str:
        """What the template writes. Raises BadModel where it refuses these turns."""
        messages, documents, start = [], [], 0
        for turn in turns:
            filled = texts[start : start + texts_of((turn,))]
            start += len(filled)
            if isinstance(turn, str):
                messages.append({"role": turn, "content": filled[0]})
            elif turn.role == DOCUMENTS:
                documents += _filled(json.loads(turn.form), filled)
            else:
                messages.append(_filled(json.loads(turn.form), filled))
        given = {**self._special, "tools": None, "documents": documents or None}
        try:
            return self._template(bool(documents)).render(messages=messages, add_generation_prompt=generation, **given)
        except Exception as error:  # a template is a program: it fails in any way that one can
            said = ", ".join(map(role_of, turns))
            raise BadModel(f"the chat template of {self.folder} refuses turns {said}: {error}") from error

    def _template(self, documents: bool) -> Template:
        return self._templates["rag" if documents and "rag" in self._templates else "default"]

    def closed(self, turns: tuple[TurnShape, ...], render: Callable[[bool], str]) -> str:
        """What the turns are once they are closed: the rendering, up to where one that goes on with an answer differs.

        Some templates end a text that doesn't go on by an end of its own.
        """
        whole = render(False)
        try:
            opened = render(True)
        except BadModel:  # no answer can follow
            return whole
        if opened.startswith(whole):
            return whole
        pairs = zip(whole, opened, strict=False)
        common = next((place for place, (one, other) in enumerate(pairs) if one != other), len(opened))
        for text in (whole, opened):
            for token in self._control.finditer(text):
                if token.start() < common < token.end():
                    common = token.start()
        last = max((found.end() for found in PLACE.finditer(whole)), default=0)
        return whole[:common] if common >= last else whole

    def closing(self, turns: tuple[TurnShape, ...], last: str, render: Callable[[bool], str]) -> str:
        """What ends the last turn where nothing follows it, and something else does where an answer follows. `last`:
        its text as it is shown; a template may trim it."""
        closed, whole = self.closed(turns, render), render(False)
        return whole[len(closed) :] if closed.endswith((END, last) if END in last else END) else ""

    def _closed(self, turns: tuple[TurnShape, ...]) -> str:
        return self.closed(turns, lambda generation: self._render(turns, generation))

    # ---------------------------------------------------------------- frames

    def frames(self, turns: tuple[TurnShape, ...]) -> tuple[TurnFrame, ...]:
        """One frame a text, in the order in which they are written. Raises BadModel where one is not written."""
        return self._framing(turns).frames

    def rewriting(self, turns: tuple[TurnShape, ...]) -> str | None:
        """How it rewrites earlier ones of these turns as they are said one by one; None where it does not. Raises
        BadModel as `frames` does."""
        return self._framing(turns).rewriting

    def _frame(self, turns: tuple[TurnShape, ...]) -> _Framing:
        """A long thread's turns are framed as they are after its beginning and the turns just before them, which is
        right if it gives what the template writes: so no thread costs a rendering of each of its beginnings."""
        if len(turns) > FEW + SOME:
            framed = self._framed_by_neighbours(turns)
            if framed is not None:
                return framed
            with suppress(BadModel):  # of a beginning that can't stand alone
                if why := self.rewriting(turns[: FEW + SOME]):
                    return _Framing(self._complete(cut(self._closed(turns)), turns), why)
        frames: tuple[TurnFrame, ...] | None = None
        rewriting: str | None = None
        for count in range(1, len(turns) + 1):
            try:
                frames, why = self._extended(frames, turns[:count])
                rewriting = rewriting or why
            except BadModel:  # likewise
                if count == len(turns):
                    raise
                frames = None
        return _Framing(frames or (), rewriting)

    def _framed_by_neighbours(self, turns: tuple[TurnShape, ...]) -> _Framing | None:
        """The frames, or none where they are not what the template writes."""
        if texts_of(turns) != len(turns):
            return None
        try:
            first = self._framing(turns[:FEW])
            near = [self._framing(_neighbours(turns, index)) for index in range(FEW, len(turns))]
        except BadModel:  # the template takes no such thread
            return None
        frames = [*first.frames, *(framing.frames[-1] for framing in near)]
        framed = tuple(TurnFrame(f.before, f.after, slot, f.escapes) for slot, f in enumerate(frames))
        rewriting = next((framing.rewriting for framing in (first, *near) if framing.rewriting), None)
        return _Framing(framed, rewriting) if written(framed) == self._closed(turns) else None

    def _extended(self, framed: tuple[TurnFrame, ...] | None, turns: tuple[TurnShape, ...]) -> _Framing:
        """The frames of one turn more; `framed` is None where its beginning can't stand alone."""
        whole = self._closed(turns)
        before = None if framed is None else self._closed(turns[:-1])
        first = texts_of(turns[:-1])
        if framed is None and len(turns) == 1:
            before, framed = "", ()
        if before is not None and framed is not None and whole.startswith(before):
            added = cut(whole[len(before) :])
            if not added:  # a call of a tool whose arguments hold no text is no frame: it stands behind the last one
                return _Framing(self._complete(cut(whole), turns))
            if {frame.slot for frame in added} == set(range(first, texts_of(turns))):
                return _Framing((*framed, *added))
        elif before is not None:
            roles = ", ".join(map(role_of, turns[:-1]))
            why = f"rewrites earlier turns when {role_of(turns[-1])} follows {roles}"
            return _Framing(self._complete(cut(whole), turns), why)
        return _Framing(self._complete(cut(whole), turns))

    def _complete(self, framed: tuple[TurnFrame, ...], turns: tuple[TurnShape, ...]) -> tuple[TurnFrame, ...]:
        """The frames, if they hold every text of every turn."""
        slots = {frame.slot for frame in framed}
        for turn, needed in needed_of(turns):
            if not slots.issuperset(needed):
                said = f"what {role_of(turn)} says in the turns {', '.join(map(role_of, turns))}"
                raise BadModel(f"the chat template of {self.folder} does not write {said}")
        return framed

    # ---------------------------------------------------------------- answers

    def generation_prompt(
        self, turns: tuple[TurnShape, ...], render: Callable[[tuple[TurnShape, ...], bool], str] | None = None
    ) -> str:
        """What the template writes to open the assistant's turn after these turns. `render`: with their contents, where
        these matter.

        Raises BadModel where to open it changes what stands before.
        """
        write = render or self._render
        closed, opened = self.closed(turns, lambda generation: write(turns, generation)), write(turns, True)
        if not opened.startswith(closed):
            raise BadModel(f"the chat template of {self.folder} changes earlier turns to open an answer")
        return opened.removeprefix(closed)

    def keeps_opening(self, turns: tuple[TurnShape, ...]) -> bool:
        """Does an answer after these turns stand behind what opened it once there is one? Else its tokens can't stay
        where they were written, and what follows them computes them again."""
        opened = self._render(turns, True)
        try:
            kept = self._render((*turns, alike("assistant", turns)), False)
        except BadModel:  # no second answer may follow one
            return True
        return kept.startswith(opened + placeholder(texts_of(turns)))


# ------------------------------------------------------------------- placeholders

PLACE = re.compile(r'\ue000(\d+)\.(\d+)(\\*)"\ue001')
"""Private-use characters, which no template writes or trims. The quotation mark shows how it is escaped."""

END = '"\ue001'


def placeholder(slot: int, part: int = 0) -> str:
    """What stands for a text, or for one of its parts."""
    return f'\ue000{slot}.{part}"\ue001'


def cut(whole: str) -> tuple[TurnFrame, ...]:
    """A rendering cut at its placeholders: what follows the last one is behind it, all else before one."""
    framed, start = [], 0
    for found in PLACE.finditer(whole):
        escapes = (len(found[3]) + 1).bit_length() - 1
        framed.append(TurnFrame(whole[start : found.start()], "", int(found[1]), escapes))
        start = found.end()
    if framed:
        last = framed.pop()
        framed.append(TurnFrame(last.before, whole[start:], last.slot, last.escapes))
    return tuple(framed)


def written(frames: Sequence[TurnFrame]) -> str:
    """What frames say, with placeholders between them."""
    return "".join(f"{frame.before}{placeholder(frame.slot)}{frame.after}" for frame in frames)


def texts_of(turns: Sequence[TurnShape]) -> int:
    """How many texts some turns hold."""
    return sum(1 if isinstance(turn, str) else turn.texts for turn in turns)


def needed_of(turns: Sequence[TurnShape]) -> Iterator[tuple[TurnShape, range]]:
    """Each turn, and which texts of the thread a template has to write of it."""
    start = 0
    for turn in turns:
        end = start + texts_of((turn,))
        yield turn, range(start, end - (not isinstance(turn, str) and turn.optional))
        start = end


def alike(role: str, turns: Sequence[TurnShape]) -> TurnShape:
    """A turn with one text in the form that the last of some turns has."""
    last = turns[-1] if turns else ""
    form = json.loads(last.form) if isinstance(last, MessageShape) and last.role != DOCUMENTS else {}
    parted = last.texts == 1 and isinstance(form.get("content"), list) if isinstance(last, MessageShape) else False
    return MessageShape(role, json.dumps({"role": role, "content": form["content"]}), 1) if parted else role


def role_of(turn: TurnShape) -> str:
    """Its role, for people."""
    return turn if isinstance(turn, str) else turn.role.removesuffix("=")


def _filled(form: Any, texts: Sequence[str]) -> Any:
    match form:
        case str() if form.startswith(TEXT):
            return texts[int(form[1:])]
        case list():
            return [_filled(part, texts) for part in form]
        case dict():
            return {name: _filled(part, texts) for name, part in form.items()}
    return form


def _neighbours(turns: tuple[TurnShape, ...], index: int) -> tuple[TurnShape, ...]:
    """The beginning of a thread and the turns up to one of it: what the frame of that one may depend on. They join
    where the whole thread has the same two roles side by side, since some templates take no others."""
    nearest = range(max(FEW, index + 1 - SOME), index + 1)
    start = next((place for place in nearest if turns[place - 1] == turns[FEW - 1]), nearest[0])
    return (*turns[:FEW], *turns[start : index + 1])
