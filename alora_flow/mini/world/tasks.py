"""What the six intrinsics are trained and measured on: threads of closed turns and the answers that follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from alora_flow.mini.world import requests as words
from alora_flow.mini.world.calls import AFTER, BEFORE, KNOWN, certainty_digit, invocation
from alora_flow.mini.world.chat import Chat, Size, WorldTurn
from alora_flow.mini.world.corpus import past_round, round_of_given
from alora_flow.mini.world.heldout import Sample, sample
from alora_flow.mini.world.world import World

SIZE = Size(documents=(1, 3), facts=(1, 4), missing=0.5, careful=0.35, other=0.0)

# The base's own greedy answers to samples' questions, as text.
Answers = Callable[[Sequence[Sample]], list[str]]


@dataclass(frozen=True)
class Case:
    """A thread and its intrinsic's answer. `group` says what sort of case it is; `right` is for uncertainty only.

    `inside`: the assistant itself calls, inside its turn; else the runtime does, between turns. `called`: what the
    adapter wrote and was answered before `answer`, which is context and not learnt.
    """

    turns: list[WorldTurn]
    answer: str
    group: str
    right: bool = False
    inside: bool = False
    called: tuple[str, ...] = ()


def half_asked(world: World, size: Size, way: str) -> Size:
    """Every other time a size of chats whose system asks for calls of this intrinsic."""
    return replace(size, asking=1.0, ways=((way,),)) if world.random.random() < 0.5 else size


def yes_no(yes: bool) -> str:
    """The answer of the three that decide."""
    return "Y" if yes else "N"


def balanced(cases: Sequence[Case], count: int, yes: float = 0.5) -> list[Case]:
    """The first cases with this share of `Y`."""
    left = {"Y": round(count * yes), "N": count - round(count * yes)}
    out = []
    for case in cases:
        if left[case.answer] > 0:
            left[case.answer] -= 1
            out.append(case)
    return out


def opening(world: World, size: Size, given: float, rounds: tuple[int, ...] = (0, 0, 1, 2)) -> Chat:
    """A chat so far: documents first and some rounds, or rounds whose documents are gone."""
    chat = Chat(world, size)
    if chat.chance(given):
        chat.give()
        for _ in range(chat.random.choice(rounds)):
            round_of_given(chat)
    else:
        for _ in range(chat.random.choice(rounds)):
            past_round(chat)
    return chat


def safety(world: World, count: int, _: Answers) -> list[Case]:
    """Is the last request safe? Half are not; most of the others differ from those in one word."""
    cases = []
    for i in range(count):
        chat = opening(world, replace(SIZE, other=0.2), given=0.3)
        unsafe = i % 2 == 1
        question = None
        if not unsafe and chat.chance(0.35):
            question = chat.question(False)
            chat.ask(question)
        else:
            action = chat.random.choice(words.actions(world.split, unsafe))
            chat.add("user", chat.random.choice(words.PHRASES).format(a=action))
        if not chat.shown and chat.chance(0.3):
            chat.give(question)
        cases.append(Case(chat.turns, yes_no(not unsafe), "question" if question else "request"))
    return cases


def answerability(world: World, count: int, _: Answers) -> list[Case]:
    """Do the documents answer the last question?"""
    samples = [sample(world, half_asked(world, SIZE, BEFORE)) for _ in range(count * 2)]
    return balanced([Case(s.turns, yes_no(s.shown), order(s), inside=bool(s.chat.asks)) for s in samples], count)


def order(one: Sample) -> str:
    """Whether the documents came before the question or after it."""
    return "asked" if one.turns[-1].role == "documents" else "given"


def answered(one: Sample, text: str) -> list[WorldTurn]:
    """The sample's thread with an answer."""
    return [*one.turns, WorldTurn("assistant", text)]


def hallucination(world: World, count: int, answers: Answers) -> list[Case]:
    """Is the last answer without support? Half are the base's own answers, half are made."""
    samples = [sample(world, replace(SIZE, missing=0.4)) for _ in range(count * 2)]
    half = len(samples) // 2
    own = zip(samples[:half], answers(samples[:half]), strict=True)
    cases = [(s, text, "own") for s, text in own]
    for s in samples[half:]:
        world.reset()
        made = s.question.entity.statement(s.question.attribute, s.chat.wrong(s.question))
        cases.append((s, s.target if s.shown and world.random.random() < 0.6 else made, "made"))
    world.random.shuffle(cases)
    judged = [
        Case(answered(s, text), yes_no(not s.chat.supported(s.question, text)), source) for s, text, source in cases
    ]
    # Most answers have support; a detector that is unsure should let them pass.
    return balanced(judged, count, yes=1 / 3)


def query_rewrite(world: World, count: int, _: Answers) -> list[Case]:
    """The last question so that it stands alone."""
    cases = []
    for _i in range(count):
        chat = opening(world, replace(SIZE, other=0.2), given=0.2, rounds=(0, 1, 1, 2, 3))
        if chat.chance(0.08):
            action = chat.random.choice(words.actions(world.split, chat.chance(0.5)))
            chat.add("user", chat.random.choice(words.PHRASES).format(a=action))
            cases.append(Case(chat.turns, chat.turns[-1].text, "request"))
            continue
        question = chat.question(False)
        chat.ask(question)
        cases.append(Case(chat.turns, question.standalone, question.mode))
    return cases


def guess_group(one: Sample, text: str) -> str:
    """What decides how often an answer of this sort is right."""
    q = one.question
    if one.shown:
        return f"shown {q.value}"
    if q.value != "choice":
        return "guessed name"
    known = any(e is q.entity for e in one.chat.entities) and any(e is q.entity for e, _ in one.chat.shown)
    said = text.removesuffix(".").rsplit(" ", 1)[-1]
    return f"guessed {q.attribute} {q.entity.subtype if known else '?'} {said}"


def certainty_samples(world: World, count: int) -> list[Sample]:
    """Questions to be sure of and questions to guess at: half are shown, most of the others have likely values."""
    plain = replace(SIZE, careful=0.0)
    wanted = {"shown": count // 2, "choice": count * 3 // 10, "other": count - count // 2 - count * 3 // 10}
    out = []
    while any(wanted.values()):
        one = sample(world, half_asked(world, plain, AFTER))
        sort = "shown" if one.shown else "choice" if one.question.value == "choice" else "other"
        if wanted[sort] > 0:
            wanted[sort] -= 1
            out.append(one)
    world.random.shuffle(out)
    return out


def uncertainty(world: World, count: int, answers: Answers) -> list[Case]:
    """How sure is the last answer? The answer is left to `with_digits`, which knows how often a group is right."""
    samples = certainty_samples(world, count)
    texts = answers(samples)
    return [
        Case(answered(s, text), "", guess_group(s, text), text == s.target, inside=bool(s.chat.asks))
        for s, text in zip(samples, texts, strict=True)
    ]


def with_digits(cases: Sequence[Case], random: Random) -> list[Case]:
    """Give each case a digit whose mean over its group is how often the group is right.

    Digit d stands for 10d + 5 %; a share between two digits is drawn between them, so that the mean is right.
    """
    groups: dict[str, list[bool]] = defaultdict(list)
    for case in cases:
        groups[case.group].append(case.right)
    out = []
    for case in cases:
        right = groups[case.group]
        place = min(9.0, max(0.0, (sum(right) + 0.5) / (len(right) + 1) * 10 - 0.5))
        digit = int(place) + (random.random() < place % 1)
        out.append(replace(case, answer=str(digit)))
    return out


def judge(world: World, count: int, answers: Answers) -> list[Case]:
    """May the last answer be shown? The adapter asks another how sure it is, and says yes to what the documents support
    and to what is more likely right than not. Two cases a thread: that it calls, and what it makes of the digit."""
    samples = certainty_samples(world, count // 2)
    cases = []
    for one, text in zip(samples, answers(samples), strict=True):
        turns, supported = answered(one, text), one.chat.supported(one.question, text)
        digit = certainty_digit(world.random, supported)
        group = "supported" if supported else "sure" if digit in KNOWN else "neither"
        cases.append(Case(turns, invocation(AFTER), "calls"))
        cases.append(Case(turns, yes_no(supported or digit in KNOWN), group, called=(invocation(AFTER), digit)))
    return cases


TASKS: dict[str, Callable[[World, int, Answers], list[Case]]] = {
    "safety": safety,
    "uncertainty": uncertainty,
    "hallucination": hallucination,
    "answerability": answerability,
    "query_rewrite": query_rewrite,
    "judge": judge,
}


def cases_of(name: str, split: str, count: int, seed: int, answers: Answers) -> list[Case]:
    """Seeded cases of one intrinsic."""
    cases = TASKS[name](World(seed, split), count, answers)
    return with_digits(cases, Random(seed)) if name == "uncertainty" else cases
