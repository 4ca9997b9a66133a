"""One syntax error hides no error of other statements, and makes none: right programs, broken at one place."""

import random
from pathlib import Path

from alora_flow.language import Source, check
from alora_flow.language.syntax.scan import scan
from tests.language.cases import CASES, programs

FLOWS = [*programs("valid"), *sorted((CASES.parent.parent / "flows").glob("*.flow"))]
STRAYS = (" =", " ?", " )", " ,", " foo", " }")


def broken(path: Path, chance: random.Random) -> str:
    """A program with a stray token somewhere."""
    text = path.read_text()
    token = chance.choice([token for token in scan(text) if token.kind != "comment"])
    return text[: token.end] + chance.choice(STRAYS) + text[token.end :]


MORE = (
    *STRAYS,
    " {",
    " (",
    " ]",
    " [",
    " :",
    " .",
    " |",
    ' "',
    " 1",
    " let",
    " if",
    " for",
    " flow",
    " =>",
    " +",
    " not",
)


def mutated(path: Path, chance: random.Random) -> str:
    """A program with a token more, less, twice, or in place of another."""
    text = path.read_text()
    token = chance.choice([token for token in scan(text) if token.kind != "comment"])
    before, after, stray = text[: token.start], text[token.end :], chance.choice(MORE)
    return before + chance.choice([token.text + stray, "", f"{token.text} {token.text}", stray]) + after


def test_hardly_any_fault_is_told_twice() -> None:
    chance = random.Random(2)
    twice = 0
    for _ in range(200):
        path = chance.choice(FLOWS)
        found = [item for item in check(Source(str(path), mutated(path, chance)))[1] if item.severity == "error"]
        twice += any(item.code.startswith("E01") for item in found) and len(found) > 1
    assert twice <= 4


def test_a_syntax_error_in_a_right_program_makes_no_other() -> None:
    chance = random.Random(0)
    for _ in range(40):
        path = chance.choice(FLOWS)
        text = broken(path, chance)
        told = check(Source(str(path), text))[1]
        if any(item.code.startswith("E01") for item in told):
            assert [item for item in told if not item.code.startswith("E01")] == [], text
