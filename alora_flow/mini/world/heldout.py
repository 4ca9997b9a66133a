"""Questions on held-out names, for measuring: a thread that ends before its answer, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as changed

from alora_flow.mini.world import requests as words
from alora_flow.mini.world.chat import Chat, Size, WorldTurn
from alora_flow.mini.world.corpus import is_shown, past_round, respond, training_chat
from alora_flow.mini.world.world import Question, World

SMALL = Size(documents=(1, 2), facts=(1, 3), missing=0.0, careful=0.35, other=0.0)
LARGE = Size(documents=(2, 4), facts=(2, 4), missing=0.0, careful=0.35, other=0.0)


@dataclass(frozen=True)
class Sample:
    """A thread whose last turn is the user's or the documents', what follows, and where it came from."""

    turns: list[WorldTurn]
    target: str
    question: Question
    chat: Chat

    @property
    def shown(self) -> bool:
        """Whether the documents answer the question."""
        return is_shown(self.chat, self.question)


def asked_sample(world: World, size: Size) -> Sample:
    """The flows' order: history without documents, the question, its documents."""
    chat = Chat(world, size)
    for _ in range(world.random.choice((0, 0, 1, 2))):
        past_round(chat)
    question = chat.question(False)
    chat.ask(question)
    chat.give(question, not chat.chance(size.missing))
    return Sample(chat.turns, chat.reply(question).text, question, chat)


def given_sample(world: World, size: Size) -> Sample:
    """Documents first, up to two questions with answers, then the question."""
    chat = Chat(world, size)
    chat.give()
    for left in range(world.random.choice((0, 1, 2)), -1, -1):
        question = chat.question(not chat.chance(size.missing))
        chat.ask(question)
        if left:
            respond(chat, question)
    return Sample(chat.turns, chat.reply(question).text, question, chat)


def sample(world: World, size: Size) -> Sample:
    """One of the two orders."""
    return asked_sample(world, size) if world.random.random() < 0.6 else given_sample(world, size)


def answerable(seed: int, size: Size, count: int, split: str = "test") -> list[Sample]:
    """Questions that the documents answer."""
    world, out = World(seed, split), list[Sample]()
    while len(out) < count:
        one = sample(world, size)
        if one.shown:
            out.append(one)
    return out


def unanswerable(seed: int, size: Size, count: int, careful: bool, split: str = "test") -> list[Sample]:
    """Questions that the documents do not answer, with a careful or a plain system turn."""
    size = changed(size, missing=1.0, careful=1.0 if careful else 0.0)
    world, out = World(seed, split), list[Sample]()
    while len(out) < count:
        one = sample(world, size)
        if not one.shown:
            assert not careful or one.target == words.UNKNOWN
            out.append(one)
    return out


__all__ = ["LARGE", "SMALL", "Sample", "answerable", "sample", "training_chat", "unanswerable"]
