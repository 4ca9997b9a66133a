"""The closed world: the same seed writes the same text, and held-out names never reach training."""

import re

import pytest

from alora_flow.mini import INTRINSICS
from alora_flow.mini.world import names
from alora_flow.mini.world import requests as words
from alora_flow.mini.world.chat import WorldTurn
from alora_flow.mini.world.corpus import STAGES, training_chats
from alora_flow.mini.world.heldout import LARGE, SMALL, answerable, unanswerable
from alora_flow.mini.world.tasks import TASKS, Case, answerability, query_rewrite, safety, with_digits
from alora_flow.mini.world.world import World

NAME = re.compile(r"\b[A-Z][a-z]{5}\b")


def text(turns: list[WorldTurn]) -> str:
    return "\n".join(f"{turn.role}: {turn.text}" for turn in turns)


def invented(turns: list[WorldTurn]) -> set[str]:
    """The invented names in a chat."""
    found = set(NAME.findall(text(turns)))
    return {n for n in found if n[:3] in names.FIRST and n[3:] in names.SECOND}


@pytest.mark.parametrize("stage", range(len(STAGES)))
def test_same_seed_same_text(stage: int) -> None:
    once, again = ([text(t) for t in training_chats(7, STAGES[stage], 50)] for _ in range(2))
    assert once == again
    assert once != [text(t) for t in training_chats(8, STAGES[stage], 50)]


def test_held_out_names_never_in_training_text() -> None:
    seen = set().union(*(invented(t) for t in training_chats(1, STAGES[2], 1500)))
    assert len(seen) > 1000
    assert not [n for n in seen if names.held_out(n)]


def test_measured_names_are_all_held_out() -> None:
    samples = [*answerable(1, LARGE, 50), *unanswerable(2, SMALL, 50, careful=True)]
    seen = set().union(*(invented(s.turns) for s in samples))
    assert seen
    assert all(names.held_out(n) for n in seen)


def test_demo_names_are_held_out_and_made_of_known_syllables() -> None:
    assert all(names.held_out(n) and n[:3] in names.FIRST and n[3:] in names.SECOND for n in names.DEMO)


def test_held_out_requests_do_not_overlap_with_training() -> None:
    for unsafe in (True, False):
        train, test = (set(words.actions(split, unsafe)) for split in ("train", "test"))
        assert train
        assert test
        assert not train & test


def test_pieces_spell_their_turn() -> None:
    for turns in training_chats(3, STAGES[2], 200):
        for turn in turns:
            assert not turn.pieces or "".join(p for p, _ in turn.pieces) == turn.text


def test_shown_answers_are_in_the_documents() -> None:
    for sample in answerable(4, LARGE, 100):
        documents = " ".join(t.text for t in sample.turns if t.role == "documents")
        assert sample.question.entity.facts[sample.question.attribute] in documents
        assert sample.question.entity.facts[sample.question.attribute] in sample.target


def no_answers(samples: object) -> list[str]:
    raise AssertionError("this task asks the base nothing")


@pytest.mark.parametrize("task", [safety, answerability])
def test_decisions_are_balanced(task: object) -> None:
    cases = task(World(5, "test"), 60, no_answers)  # type: ignore[operator]
    assert sum(c.answer == "Y" for c in cases) == 30


def test_rewrites_name_their_entity_and_copy_what_stands_alone() -> None:
    for case in query_rewrite(World(6, "test"), 80, no_answers):
        assert case.group == "request" or NAME.search(case.answer)
        if case.group in ("name", "request"):
            assert case.answer == case.turns[-1].text


def test_digits_mean_how_often_a_group_is_right() -> None:
    cases = [Case([], "", "half", i % 2 == 0) for i in range(400)] + [Case([], "", "sure", True)] * 100
    world = World(1)
    digits = with_digits(cases, world.random)
    half = [int(c.answer) for c in digits if c.group == "half"]
    assert sum(half) / len(half) == pytest.approx(4.5, abs=0.2)
    assert {c.answer for c in digits if c.group == "sure"} == {"9"}


def test_every_intrinsic_has_a_task() -> None:
    assert set(TASKS) == set(INTRINSICS)
