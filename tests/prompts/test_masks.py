"""What of a text a template is shown."""

import re
from itertools import pairwise
from random import Random

from alora_flow.prompts.masks import masking, spans


def by_one_pattern(text: str, looks_for: list[str]) -> list[tuple[int, int, bool]]:
    """The same, said by one regular expression, which takes the square of the longest whitespace."""
    literals = "|".join(map(re.escape, sorted(looks_for, key=len, reverse=True)))
    pattern = r"\A\s+|\s+\Z" + (rf"|\s*(?:{literals})\s*" if literals else "")
    shown = [False] * len(text)
    cuts = {0, len(text)}
    for found in re.finditer(pattern, text):
        inner = found[0].strip()
        left = found.start() + len(found[0]) - len(found[0].lstrip())
        cuts |= {found.start(), found.end()} | ({left, left + len(inner)} if inner else set())
        shown[found.start() : found.end()] = [True] * len(found[0])
    ends = sorted(cuts)
    return [(start, end, shown[start]) for start, end in pairwise(ends)]


def test_whitespace_at_the_ends_and_what_is_looked_for_with_the_whitespace_beside_it() -> None:
    random = Random(0)
    for looks_for in ([], ["/think"], ["a", "ab", "</a>"], ["\nb", "b b"], ["\n\n", "a"]):
        for _ in range(4000):
            text = "".join(random.choices(["a", "b", " ", "\n", "\u3000", "/think", "</a>"], k=random.randrange(9)))
            assert list(spans(text, masking(looks_for))) == by_one_pattern(text, looks_for), (text, looks_for)


def test_a_million_blanks_are_looked_at_once() -> None:
    text = "a" + " " * 1_000_000 + "b"
    assert list(spans(text, masking([]))) == [(0, len(text), False)]
    assert list(spans(f" {text}/x", masking(["/x"]))) == [
        (0, 1, True),
        (1, len(text) + 1, False),
        (len(text) + 1, len(text) + 3, True),
    ]
