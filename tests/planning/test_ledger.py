"""The planner's model of the cache, against the rules written down plainly."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alora_flow.planning.prefix.amounts import Amount, Amounts, amount
from alora_flow.planning.prefix.ledger import Key, Ledger, Stem
from alora_flow.planning.prompts import Prompt
from alora_flow.prompts.thread import Hole, Symbol
from alora_flow.prompts.writing import NOTHING, Writing

symbols = st.lists(st.integers(0, 2), max_size=3)


def then(before: Writing, *own: Symbol) -> Writing:
    return Writing(before, own, before.length + len(own), (before.length + len(own),))


def prompt_of(thread: Writing, *added: int, adapter: str | None = None, active_from: int | None = None) -> Prompt:
    contract: Any = adapter and SimpleNamespace(adapter=SimpleNamespace(digest=adapter))
    return Prompt(thread, added, contract, active_from)


def keys_of(prompt: Prompt) -> list[Key]:
    return [(symbol, prompt.adapter_at(place)) for place, symbol in enumerate(prompt.symbols)]


@settings(deadline=None)
@given(st.data())
def test_a_prompt_reuses_its_longest_cached_prefix(data: st.DataObject) -> None:
    ledger, cached, ends = Ledger(), list[list[Key]](), list[list[Key]]()
    threads = [NOTHING]
    for _ in range(data.draw(st.integers(1, 12))):
        if data.draw(st.sampled_from([False] * 9 + [True])):
            ledger.clear()
            cached, ends = [], []
        thread = data.draw(st.sampled_from(threads))
        for own in data.draw(st.lists(symbols, max_size=3)):
            thread = then(thread, *own)
            threads.append(thread)
        added = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=3))
        adapter = data.draw(st.sampled_from([None, "a", "b"]))
        start = data.draw(st.integers(0, thread.length + len(added))) if adapter else None
        prompt = prompt_of(thread, *added, adapter=adapter, active_from=start)
        keys = keys_of(prompt)
        longest = max((common(keys, other) for other in cached), default=0)
        expected = longest - 1 if longest == len(keys) and keys not in ends else longest
        assert ledger.known(prompt) == longest
        found, end = ledger.enter(prompt)
        assert found == expected
        written = data.draw(symbols)
        ledger.write(end, written, keys[-1][1])
        cached.append([*keys, *((token, keys[-1][1]) for token in written)])
        ends.append(keys)
        assert ledger.size == len({tuple(held[:length]) for held in cached for length in range(1, len(held) + 1)})


@settings(deadline=None)
@given(st.data())
def test_what_calls_need_counts_once_and_stays_retained(data: st.DataObject) -> None:
    """Calls whose prompts share beginnings are held, and let go of in any order; `retained` is what a backend would
    keep that does as it is told, and holds neither more nor less."""
    ledger = Ledger()
    holding: dict[int, tuple[Stem, tuple[int, ...]]] = {}
    retained: dict[int, tuple[int, ...]] = {}
    for ticket in range(data.draw(st.integers(1, 14))):
        tokens = tuple(data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=5)))
        needed = beginnings(held for _, held in holding.values())
        longest = max((n for n in range(1, len(tokens) + 1) if tokens[:n] in needed), default=0)
        end = ledger.enter(prompt_of(NOTHING, *tokens)).end
        assert ledger.needed_until(end) == min(longest, len(tokens) - 1)
        ledger.hold(end)
        ledger.retained(end, ticket)
        holding[ticket] = end, tokens
        retained[ticket] = tokens
        for gone in data.draw(st.lists(st.sampled_from(sorted(holding)), max_size=3, unique=True)):
            ledger.release(holding.pop(gone)[0])
            if data.draw(st.booleans()):  # what is told may be told together
                retained.update({one: retained[one][:length] for one, length in ledger.let_go.items()})
                ledger.let_go.clear()
        retained.update({one: retained[one][:length] for one, length in ledger.let_go.items()})
        ledger.let_go.clear()
        needed = beginnings(held for _, held in holding.values())
        assert ledger.held == len(needed)
        assert beginnings(retained.values()) == needed


def test_the_row_of_a_prompt_stays_as_long_as_the_prompt_is_needed() -> None:
    ledger, whole = Ledger(), prompt_of(NOTHING, 1, 2, 3)
    end = ledger.enter(whole).end
    ledger.hold(end)
    end.rests = True
    assert ledger.needed_until(ledger.enter(whole).end) == 3
    ledger.release(end)
    ledger.hold(ledger.enter(prompt_of(NOTHING, 1, 2, 3, 4)).end)
    assert ledger.needed_until(ledger.enter(whole).end) == 2


def beginnings(sequences: Iterable[tuple[int, ...]]) -> set[tuple[int, ...]]:
    return {tokens[:length] for tokens in sequences for length in range(1, len(tokens) + 1)}


def common(left: list[Key], right: list[Key]) -> int:
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def test_adapters_share_what_stands_before_their_invocation_and_nothing_after() -> None:
    ledger = Ledger()
    context = then(NOTHING, 1, 2)
    assert ledger.enter(prompt_of(context, 9, 5, adapter="a", active_from=2)).found == 0
    assert ledger.enter(prompt_of(context, 9, 5, adapter="b", active_from=2)).found == 2
    assert ledger.enter(prompt_of(context, 9, 5, 6, adapter="a", active_from=2)).found == 4
    assert ledger.enter(prompt_of(context, 9)).found == 2


def test_a_hole_matches_itself_only() -> None:
    ledger = Ledger()
    ledger.enter(prompt_of(then(NOTHING, 1, Hole("question")), 2))
    assert ledger.enter(prompt_of(then(NOTHING, 1, Hole("question")), 3)).found == 2
    assert ledger.enter(prompt_of(then(NOTHING, 1, Hole("query")), 2)).found == 1


def test_amounts_print_what_is_known_first() -> None:
    question, reply = Hole("question"), Hole("reply", 64)
    assert str(amount([1, 2, question, 3])) == "3 + |question|"
    assert str(amount([question, question])) == "2·|question|"
    assert str(amount([]) + amount([reply])) == "|reply|"
    assert str(Amount()) == "0"
    assert amount([1, question]) + amount([question]) == Amount(1, {question: 2})


def test_an_amount_is_that_of_its_parts() -> None:
    amounts, question = Amounts(), Hole("question")
    thread = then(then(NOTHING, 1, question), 2, question, Hole("reply"))
    assert amounts.of(thread) == amount(thread.symbols)
    assert amounts.of(thread) - amount([1, question]) == amount([2, question, Hole("reply")])
