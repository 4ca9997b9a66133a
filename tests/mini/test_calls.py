"""Answers that call: after the system asked for it, before or behind an answer, and never else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from alora_flow.mini.recipe.encoding import context, rows_of, samples, thread_ids
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world.calls import AFTER, ANY, ASKS, BEFORE, GUESSED, INVOCATIONS, KNOWN, invocation
from alora_flow.mini.world.chat import Chat
from alora_flow.mini.world.corpus import STAGES, training_chat
from alora_flow.mini.world.heldout import SMALL, answerable
from alora_flow.mini.world.pieces import PLAIN, VALUE
from alora_flow.mini.world.requests import UNKNOWN
from alora_flow.mini.world.tasks import cases_of
from alora_flow.mini.world.world import World
from tests.mini.test_encoding import encoder as encoder

# Behind an answer a digit, and where it is low a doubt.
BEHIND = re.compile(r"<\|uncertainty\|>([5-9]|[0-4] But I am not sure\.)$")
ALWAYS = replace(STAGES[3], asking=1.0)


def chats(size: object, count: int = 300) -> Iterator[Chat]:
    world = World(5, "train")
    return (training_chat(world, size) for _ in range(count))  # type: ignore[arg-type]


def asked_for(chat: Chat) -> set[str]:
    said = " ".join(turn.text for turn in chat.turns if turn.role == "system")
    return {name for name, ways in ASKS.items() if any(way in said for way in ways)}


def test_who_is_asked_calls_around_answers_and_nowhere_else() -> None:
    seen = set()
    for chat in chats(ALWAYS):
        asks = asked_for(chat)
        assert asks == set(chat.asks) != set()
        seen.add(tuple(sorted(asks)))
        for turn in chat.turns:
            calling = [text for text, _ in turn.pieces if text in INVOCATIONS]
            if calling:
                assert turn.role == "assistant"
                assert set(calling) == {invocation(name) for name in asks}
                assert turn.text.startswith(invocation(BEFORE)) == (BEFORE in asks)
                assert bool(BEHIND.search(turn.text)) == (AFTER in asks)
            else:
                assert not any(text in turn.text for text in INVOCATIONS)
    assert seen == {(BEFORE,), (AFTER,), (BEFORE, AFTER)}


def test_most_answers_to_questions_call() -> None:
    answers = [turn for chat in chats(replace(ALWAYS, other=0.0)) for turn in chat.turns if turn.pieces]
    calling = [turn for turn in answers if any(text in INVOCATIONS for text, _ in turn.pieces)]
    assert len(calling) > 0.97 * len(answers)  # the others answer small talk and requests of earlier rounds


@pytest.mark.parametrize("stage", range(len(STAGES)))
def test_who_is_not_asked_never_calls(stage: int) -> None:
    share = []
    for chat in chats(STAGES[stage]):
        share.append(bool(asked_for(chat)))
        if not asked_for(chat):
            assert not any(text in turn.text for turn in chat.turns for text in INVOCATIONS)
    assert sum(share) / len(share) == pytest.approx(STAGES[stage].asking, abs=0.08)


def test_the_check_is_true_and_decides_the_answer() -> None:
    for chat in chats(replace(ALWAYS, missing=0.5, other=0.0)):
        for turn in (turn for turn in chat.turns if turn.text.startswith(invocation(BEFORE))):
            verdict = turn.pieces[1][0]
            assert (verdict == "N") == ("not in the documents" in turn.text)


def test_a_doubt_follows_the_digit_and_not_the_documents() -> None:
    digits: dict[bool, list[str]] = {True: [], False: []}
    for chat in chats(replace(ALWAYS, careful=0.0, missing=0.5, other=0.0), 600):
        for turn in chat.turns:
            if (found := BEHIND.search(turn.text)) and UNKNOWN not in turn.text:
                digits[any(value == VALUE for _, value in turn.pieces)].append(found[1][0])
    for shown, wrote in digits.items():
        usual = sum(digit in (KNOWN if shown else GUESSED) for digit in wrote) / len(wrote)
        assert usual == pytest.approx(1 - ANY / 2, abs=0.05)


def test_questions_that_are_measured_ask_for_none() -> None:
    for one in answerable(3, SMALL, 40):
        assert not one.chat.asks
        assert not any(text in turn.text for turn in one.turns for text in INVOCATIONS)


def test_the_base_learns_invocations_and_not_what_adapters_answer(encoder: Encoder) -> None:
    made = [chat.turns for chat in chats(ALWAYS, 40)]
    called = 0
    for row in rows_of(encoder, made):
        for place, token in enumerate(row.ids):
            for name in ASKS:
                if token == encoder.role(name):
                    called += 1
                    assert row.weights[place] == PLAIN
                    assert row.weights[place + 1] == 0.0
                    assert encoder.decode([row.ids[place + 1]]).strip() in set("YN0123456789")
    assert called > 40


def test_what_others_spell_is_text(encoder: Encoder) -> None:
    [row] = rows_of(
        encoder,
        [[replace(turn, text=f"{turn.text} <|uncertainty|>") for turn in chat.turns[:1]] for chat in chats(ALWAYS, 1)],
    )
    assert encoder.role("uncertainty") not in row.ids


@pytest.mark.parametrize("name", [BEFORE, AFTER])
def test_half_of_an_intrinsics_cases_are_calls_by_the_assistant_itself(encoder: Encoder, name: str) -> None:
    cases = cases_of(name, "train", 200, 5, lambda samples: [one.target for one in samples])
    assert sum(case.inside for case in cases) / len(cases) == pytest.approx(0.5, abs=0.1)
    for case in cases:
        asks = {text for turn in case.turns if turn.role == "system" for text in ASKS[name] if text in turn.text}
        assert bool(asks) == case.inside
        ids = context(encoder, name, case)
        closed = thread_ids(encoder, case.turns)
        inside = [*closed, encoder.assistant] if name == BEFORE else closed[:-1]
        assert ids == (inside if case.inside else closed)


def test_earlier_calls_of_the_assistant_are_single_tokens(encoder: Encoder) -> None:
    asking = replace(SMALL, asking=1.0, ways=((AFTER,),))
    counted = [
        (thread_ids(encoder, one.turns).count(encoder.role(AFTER)), "".join(turn.text for turn in one.turns))
        for one in answerable(7, asking, 60)
    ]
    assert all(count == text.count(invocation(AFTER)) for count, text in counted)
    assert sum(count for count, _ in counted) > 10


def test_an_adapter_learns_to_call_another_and_to_read_what_it_answers(encoder: Encoder) -> None:
    cases = cases_of("judge", "train", 200, 5, lambda samples: [one.target for one in samples])
    [judge, sure] = [encoder.role("judge"), encoder.role(AFTER)]
    groups = set()
    for calls, verdict in zip(cases[::2], cases[1::2], strict=True):
        groups |= {calls.group, verdict.group}
        first, second = samples(encoder, "judge", [calls, verdict])
        assert first.context == second.context
        assert (first.adapted, first.answer) == ((judge,), (sure,))
        [digit] = encoder.text(verdict.called[1])
        assert second.adapted == (judge, sure, digit)
        assert second.answer == (*encoder.text("N" if verdict.group == "neither" else "Y"), encoder.end)
        assert (verdict.called[1] in GUESSED) <= (verdict.group != "sure")
    assert groups == {"calls", "supported", "sure", "neither"}
