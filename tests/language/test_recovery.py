"""One syntax error hides no error of other statements, and makes none: right programs, broken at one place."""

import random
import re
from pathlib import Path

import pytest

from alora_flow.language import Diagnostic, Source, check
from alora_flow.language.syntax.scan import Scanned, scan
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
    return _mutated(text, [token for token in scan(text) if token.kind != "comment"], chance)


def _mutated(text: str, tokens: list[Scanned], chance: random.Random) -> str:
    token = chance.choice(tokens)
    before, after, stray = text[: token.start], text[token.end :], chance.choice(MORE)
    return before + chance.choice([token.text + stray, "", f"{token.text} {token.text}", stray]) + after


def errors(path: Path, text: str) -> list[Diagnostic]:
    return [item for item in check(Source(str(path), text))[1] if item.severity == "error"]


STATEMENT = re.compile(r"^ +(?=(?:let|thread|return|if|require) )", re.MULTILINE)


def beside_another(path: Path, statement: str, chance: random.Random) -> str | None:
    """A program with this statement in a flow or test, and a fault in another statement of the same one."""
    text = path.read_text()
    places = [place for place in STATEMENT.finditer(text) if text[: place.start()].count('"""') % 2 == 0]
    if not places:
        return None
    place = chance.choice(places)
    text = f"{text[: place.end()]}{statement}\n{text[place.start() :]}"
    if len(errors(path, text)) != 1:
        return None
    end = place.end() + len(statement)
    first = max(text.rfind("\nflow ", 0, end), text.rfind("\ntest ", 0, end))
    last = text.find("\n}", end)
    tokens = [token for token in scan(text[:last]) if token.kind != "comment" and token.start > first]
    return _mutated(text, [token for token in tokens if not place.start() - 3 <= token.start <= end + 3], chance)


@pytest.mark.parametrize(
    ("statement", "code", "least"), [('let zz = 1 + "a"', "E0402", 51), ("let zz = yy", "E0302", 42)]
)
def test_a_syntax_error_hides_few_errors_of_the_same_declaration(statement: str, code: str, least: int) -> None:
    chance = random.Random(3)
    told = made = 0
    while made < 60:
        path = chance.choice(FLOWS)
        text = beside_another(path, statement, chance)
        found = errors(path, text) if text else []
        if any(item.code.startswith("E01") for item in found):
            made += 1
            told += any(item.code == code and "zz" in item.span.source.line(item.span.line) for item in found)
    assert told >= least


AROUND = """
record Pair {{ a: int, b: int }}
flow made(q: str, n: int = 2{head}
  let zz = 1 + "a"
  {line}
  return Pair(a: 1, b: 2)
{end}
test "t" {{
  let yy = 1 + "a"
  {test}
}}
"""
BRACKETS = {
    "none before the end": {"line": "let m = Pair(a: 1, b: 2", "end": "}\n"},
    "none before the head's arrow": {"head": " -> Pair {"},
    "none before the next statement": {"line": "let m = len(q"},
    "none before a comment": {"line": "let m = Pair(a: 1, b: 2  # (two)"},
    "one too many beside another": {"line": "let m = len(q)) + 1"},
    "one of another kind": {"line": "let m = len(q] + 1"},
    "one too many inside": {"line": "let m = Pair(a: 1, } b: 2)"},
    "one too many before a value": {"line": "let m = } len(q)"},
    "one too many at the end": {"line": "let m = len(q) }"},
    "an opening one too many": {"line": "let m = 3 + ( 4"},
    "an opening one instead of a name": {"line": "let { m = 3"},
    "an opening one in a condition": {"line": "if len(q) { == 3 { return Pair(a: 1, b: 1) }"},
    "no brace behind a condition": {"line": "if len(q) == 3\n    return Pair(a: 1, b: 1)\n  }"},
    "no brace behind a statement": {"line": "match n {\n    2 => { return Pair(a: 1, b: 1)\n    else => {}\n  }"},
    "no brace behind the head": {"head": ") -> Pair"},
    "none before a mock's value": {"test": "mock made( = Pair(a: 1, b: 2)"},
    "none at the end of the file": {"test": 'expect made("x".a == 2'},
    "an opening one at the end of the file": {"test": 'expect ( len("x") == 2'},
}


@pytest.mark.parametrize("name", BRACKETS)
def test_a_wrong_bracket_hides_nothing(name: str) -> None:
    parts = {"head": ") -> Pair {", "line": "let m = 3", "end": "}", "test": 'expect len("x") == 1', **BRACKETS[name]}
    found = [item for item in check(Source("", AROUND.format(**parts)))[1] if item.severity == "error"]
    assert [item.code for item in found if item.code == "E0402"] == ["E0402", "E0402"]
    assert [item.code for item in found if item.code != "E0402"] in (["E0103"], ["E0101"])


def test_hardly_any_fault_is_told_twice() -> None:
    chance = random.Random(2)
    twice = 0
    for _ in range(200):
        path = chance.choice(FLOWS)
        found = errors(path, mutated(path, chance))
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
