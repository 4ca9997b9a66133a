"""The planner's model of the cache, against the rules written down plainly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alora_flow.planning.prefix.amounts import Amount, amount
from alora_flow.planning.prefix.ledger import Key, Ledger
from alora_flow.prompts.thread import Hole

keys = st.tuples(st.integers(0, 2), st.sampled_from([None, "a", "b"]))
prompts = st.lists(keys, min_size=1, max_size=6)


@given(st.lists(st.tuples(prompts, st.lists(keys, max_size=3)), max_size=12))
def test_a_prompt_reuses_its_longest_cached_prefix(calls: list[tuple[list[Key], list[Key]]]) -> None:
    ledger, cached, ends = Ledger(), list[list[Key]](), list[list[Key]]()
    for prompt, written in calls:
        longest = max((common(prompt, other) for other in cached), default=0)
        expected = longest - 1 if longest == len(prompt) and prompt not in ends else longest
        assert ledger.prompt(prompt) == expected
        ledger.add([*prompt, *written])
        cached.append([*prompt, *written])
        ends.append(prompt)


def common(left: list[Key], right: list[Key]) -> int:
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def test_adapters_share_what_stands_before_their_invocation_and_nothing_after() -> None:
    ledger = Ledger()
    context: list[Key] = [(1, None), (2, None)]
    assert ledger.prompt([*context, (9, "a"), (5, "a")]) == 0
    assert ledger.prompt([*context, (9, "b"), (5, "b")]) == 2
    assert ledger.prompt([*context, (9, "a"), (5, "a"), (6, "a")]) == 4
    assert ledger.prompt([*context, (9, None)]) == 2


def test_a_hole_matches_itself_only() -> None:
    ledger = Ledger()
    ledger.prompt([(1, None), (Hole("question"), None), (2, None)])
    assert ledger.prompt([(1, None), (Hole("question"), None), (3, None)]) == 2
    assert ledger.prompt([(1, None), (Hole("query"), None), (2, None)]) == 1


def test_amounts_print_what_is_known_first() -> None:
    question, reply = Hole("question"), Hole("reply", 64)
    assert str(amount([1, 2, question, 3])) == "3 + |question|"
    assert str(amount([question, question])) == "2·|question|"
    assert str(amount([]) + amount([reply])) == "|reply|"
    assert str(Amount()) == "0"
    assert amount([1, question]) + amount([question]) == Amount(1, {question: 2})
