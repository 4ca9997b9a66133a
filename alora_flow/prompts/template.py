"""A model's chat template, cut into the text before and after every turn's content.

The cache shares prefixes, so a template should have the *prefix property*: rendering one more turn does not change what
was rendered before it. It is tried here, turn by turn, with placeholders for the contents. A template that lacks it is
cut as a whole for every thread: all is right, only less is shared, and `rewriting` says why.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from alora_flow.errors import BadModel

FEW, SOME = 2, 6
"""Turns at the beginning of a thread (a system's turn and the first of a user), and turns before the one looked at."""


class TurnFrame(NamedTuple):
    """The template's own text around one turn's content."""

    before: str
    after: str


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _environment() -> ImmutableSandboxedEnvironment:
    """The environment that chat templates are written for (transformers' documentation of chat templates)."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _read_template(folder: Path) -> tuple[str, dict[str, Any]]:
    """The template's source and the tokenizer's settings (for `bos_token` and its like)."""
    settings_file = folder / "tokenizer_config.json"
    settings = json.loads(settings_file.read_text()) if settings_file.is_file() else {}
    template_file = folder / "chat_template.jinja"
    source = template_file.read_text() if template_file.is_file() else settings.get("chat_template")
    if not isinstance(source, str):
        raise BadModel(
            f"{folder} has no chat template", "flows need an instruction-tuned model with chat_template.jinja"
        )
    return source, settings


class ChatTemplate:
    """The chat template of a model folder."""

    def __init__(self, folder: Path) -> None:
        """Raises BadModel when there is no template or it is no Jinja."""
        source, settings = _read_template(folder)
        self._folder = folder
        self._names = {
            name: text for name, text in settings.items() if name.endswith("_token") and isinstance(text, str)
        }
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise BadModel(f"the chat template of {folder} is broken: {error}") from error
        self.rewriting: str | None = None  # what was rewritten when it was first noticed
        self._render = lru_cache(maxsize=1024)(self._render_roles)
        self.frames = lru_cache(maxsize=1024)(self._frames)

    def _render_roles(self, roles: tuple[str, ...], generation: bool) -> str:
        messages = [{"role": role, "content": _placeholder(index)} for index, role in enumerate(roles)]
        try:
            return self._template.render(messages=messages, add_generation_prompt=generation, **self._names)
        except TemplateError as error:
            raise BadModel(f"the chat template of {self._folder} refuses turns {', '.join(roles)}: {error}") from error

    def _frames(self, roles: tuple[str, ...]) -> tuple[TurnFrame, ...]:
        """One frame a turn. Raises BadModel where the template does not write every turn's content once, in order.

        A long thread's turns are framed as they are after its beginning and the turns just before them, which is right
        if it gives what the template writes: so no thread costs a rendering of each of its beginnings.
        """
        framed = self._framed_by_neighbours(roles) if len(roles) > FEW + SOME else ()
        if framed:
            return framed
        for count in range(1, len(roles) + 1):
            framed = self._extended(framed, roles[:count])
        return framed

    def _framed_by_neighbours(self, roles: tuple[str, ...]) -> tuple[TurnFrame, ...]:
        """The frames, or none where they are not what the template writes."""
        try:
            near = [self.frames(_neighbours(roles, index))[-1] for index in range(FEW, len(roles))]
        except BadModel:  # the template takes no such thread
            return ()
        framed = (*self.frames(roles[:FEW]), *near)
        return framed if _written(framed) == self._render(roles, False) else ()

    def _extended(self, framed: tuple[TurnFrame, ...], roles: tuple[str, ...]) -> tuple[TurnFrame, ...]:
        """The frames of one turn more."""
        before, whole = self._render(roles[:-1], False) if framed else "", self._render(roles, False)
        parts = whole[len(before) :].split(_placeholder(len(framed)))
        if whole.startswith(before) and len(parts) == 2:
            return (*framed, TurnFrame(*parts))
        self.rewriting = self.rewriting or f"rewrites earlier turns when {roles[-1]} follows {', '.join(roles[:-1])}"
        return self._cut(whole, roles)

    def _cut(self, whole: str, roles: tuple[str, ...]) -> tuple[TurnFrame, ...]:
        texts = []
        for index in range(len(roles)):
            text, *rest = whole.split(_placeholder(index))
            if len(rest) != 1:
                raise BadModel(
                    f"the chat template of {self._folder} does not write what {roles[index]} says exactly once, "
                    f"in order, in the turns {', '.join(roles)}"
                )
            texts.append(text)
            (whole,) = rest
        return (*(TurnFrame(text, "") for text in texts[:-1]), TurnFrame(texts[-1], whole))

    def generation_prompt(self, roles: tuple[str, ...]) -> str:
        """What the template writes to open the assistant's turn after these turns.

        Where it keeps an answer otherwise than it opens one, the answer's tokens can't stay where they were written,
        and what follows them computes them again. Raises BadModel where to open it changes what stands before.
        """
        closed, opened = self._render(roles, False), self._render(roles, True)
        if not opened.startswith(closed):
            raise BadModel(f"the chat template of {self._folder} changes earlier turns to open an answer")
        kept = self._render((*roles, "assistant"), False).split(_placeholder(len(roles)))[0]
        if kept != opened:
            self.rewriting = self.rewriting or "opens an answer in another way than it keeps it"
        return opened.removeprefix(closed)


def _neighbours(roles: tuple[str, ...], index: int) -> tuple[str, ...]:
    """The beginning of a thread and the turns up to one of it: what the frame of that one may depend on. They join
    where the whole thread has the same two roles side by side, since some templates take no others."""
    nearest = range(max(FEW, index + 1 - SOME), index + 1)
    start = next((place for place in nearest if roles[place - 1] == roles[FEW - 1]), nearest[0])
    return (*roles[:FEW], *roles[start : index + 1])


def _written(frames: tuple[TurnFrame, ...]) -> str:
    return "".join(f"{before}{_placeholder(index)}{after}" for index, (before, after) in enumerate(frames))


def _placeholder(index: int) -> str:
    """Private-use characters, which no template writes or trims."""
    return f"\ue000{index}\ue001"
