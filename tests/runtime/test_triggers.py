"""Which invocation a growing answer has written: in token ids and in text, across steps, forced tokens and calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alora_runtime.answer.automaton import Automaton, Found, Search

WORDS = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=5, unique=True)


def leftmost_longest(words: list[str], text: str) -> Found | None:
    """What stands first, and of what begins there the longest, by looking everywhere."""
    every = [
        Found(index, start, start + len(word))
        for index, word in enumerate(words)
        for start in range(len(text))
        if text.startswith(word, start)
    ]
    return min(every, key=lambda found: (found.start, -found.end), default=None)


@given(WORDS, st.text("abc", max_size=12))
def test_the_first_and_of_these_the_longest_is_found(words: list[str], text: str) -> None:
    search = Search(Automaton(words))
    for length in range(1, len(text) + 1):
        decided = search.push(text[length - 1])
        assert search.found == leftmost_longest(words, text[:length])
        later = {leftmost_longest(words, text[:length] + more) for more in CONTINUATIONS}
        assert decided == (later == {search.found} and search.found is not None)
        begun = [length - size for size in range(1, 5) if any(w.startswith(text[length - size : length]) for w in words)]
        first = search.found.start if search.found else length
        assert search.clear == min([first, *(start for start in begun if start >= 0)])
        if decided:
            return


CONTINUATIONS = ["", *(a + b + c + d for a in "abc" for b in "abc" for c in "abc" for d in "abc")]


def test_what_was_there_before_does_not_count() -> None:
    search = Search(Automaton([(1, 2), (1, 2, 3)]), length=10)
    assert [search.push(token) for token in (2, 1, 2)] == [False] * 3
    assert (search.found, search.clear) == (Found(0, 11, 13), 11)
    assert search.push(3)
    assert search.found == Found(1, 11, 14)
