"""Whatever is in a file: never a traceback, never a hang, always a place."""

import random
from functools import cache
from pathlib import Path

import pytest

from alora_flow.language import Diagnostic, FlowErrors, Source, check, check_file, load
from alora_flow.language.report.render import render
from tests.language.cases import CASES, programs

MANY = 1_200
"""More than Python has frames."""

HOSTILE = {
    "deep brackets": f"const A = {'(' * MANY}1{')' * MANY}",
    "open brackets": f"const A = {'(' * MANY}",
    "deep lists": f"const A = {'[' * MANY}{']' * MANY}",
    "open blocks": "flow f() -> int { " + "if true { " * MANY,
    "deep blocks": "flow f() -> int { " + "if true { " * MANY + "}" * MANY + " return 1 }",
    "deep operators": f"const A = {'not ' * MANY}true",
    "long sums": f"const A = 1{' + 1' * MANY}",
    "deep types": f"flow f(x: {'list[' * MANY}int{']' * MANY}) -> int {{ return 1 }}",
    "long else if": f"flow f() -> int {{ if true {{ }} {'else if true { } ' * MANY} return 1 }}",
    "documents of documents": f"const A = {'document(' * 90}1{')' * 90}",
    "loops in loops": "flow f() -> int { "
    + "let a = repeat (b = []) up to 2 { " * 40
    + "accept 1 "
    + "} else { return 1 } " * 40
    + "}",
    "long list": f"const A = [{'1, ' * MANY}]",
    "a megabyte of string": f'const A = "{"a" * 1_000_000}"',
    "a megabyte of lines": 'const A = """\n' + "a\n" * 500_000 + '"""',
    "a megabyte of open string": f'const A = "{"a" * 1_000_000}',
    "a megabyte of comment": f"#{'a' * 1_000_000}",
    "a megabyte of name": f"const {'a' * 1_000_000} = 1",
    "a megabyte of digits": f"const A = {'9' * 1_000_000}",
    "a megabyte of blanks": f"flow f({' ' * 1_000_000}x: str) -> str {{ return x }}",
    "a megabyte of backslashes": 'const A = "' + "\\" * 1_000_001,
    "open holes": f'const A = "{"{" * MANY}"',
    "many holes": f'flow f(x: str) -> str {{ return "{"{x}" * 500}" }}',
    "many errors": "flow f() -> int {\n" + "let x = = 1\n" * 100 + "}",
    "many broken declarations": "flow f( -> int { return 1 }\n" * 500,
    "many unknown names": "flow f() -> int {\n" + "".join(f"let x{i} = y{i}\n" for i in range(200)) + "return 1 }",
    "nul": "\0" * 100,
    "control characters": "".join(map(chr, range(32))),
    "directions": "flow f() -> str { return \u202e }",
    "line separators": "flow f() -> str {\u2028 return 1 }",
    "odd names": 'flow ƒ(été: str) -> str { return "😀{été}" }',
    "closing brackets": "}" * MANY,
    "quotes": '"' * MANY,
    "an import of nothing": 'import "\0.flow" as x',
    "an import of a long name": f'import "{"a" * 5000}.flow" as x',
    "only a byte order mark": "\ufeff",
    "nothing": "",
}


@cache
def told(text: str) -> tuple[Diagnostic, ...]:
    program, found = check(text)
    assert (program is None) == any(item.severity == "error" for item in found)
    for item in found:
        assert 0 <= item.span.start <= item.span.end <= len(text)
        assert item.span.line >= 1
        assert item.span.column >= 1
    assert render(found) or not found
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str) -> None:
    told(HOSTILE[name])


@pytest.mark.parametrize(
    ("name", "code"),
    [("deep lists", "E0108"), ("a megabyte of digits", "E0107"), ("nul", "E0104"), ("open holes", "E0106")],
)
def test_the_right_thing_is_said(name: str, code: str) -> None:
    assert {item.code for item in told(HOSTILE[name])} == {code}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(end: str) -> None:
    text = end.join(["# a comment", "\tflow f() -> str {", "\t\treturn unknown", "}"])
    (found,) = told(text)
    assert (found.span.line, found.span.column, found.span.text) == (3, 10, "unknown")


def test_no_line_end_at_the_end() -> None:
    (found,) = told("flow f() -> str { return a")[:1]
    assert (found.code, found.span.line, found.span.column) == ("E0103", 1, 26)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.flow").write_bytes(b"flow \xff\xfe")
    for name, words in (("binary.flow", "byte 6"), ("no.flow", "no such"), (".", "directory")):
        program, (found,) = check_file(tmp_path / name)
        assert program is None
        assert found.code == "E0109"
        assert words in found.message
    with pytest.raises(FlowErrors, match="E0109"):
        load(tmp_path / "no.flow")


def mutated(text: str, chance: random.Random) -> str:
    """One to three small accidents: something lost, doubled, moved, or typed by mistake."""
    for _ in range(chance.randint(1, 3)):
        text = text or " "
        start = chance.randrange(len(text))
        end = min(len(text), start + chance.choice([1, 1, 2, 5, 20]))
        other = chance.randrange(len(text))
        text = chance.choice(
            [
                text[:start] + text[end:],
                text[:end] + text[start:],
                text[:start] + text[end:other] + text[start:end] + text[other:] if other > end else text[:start],
                text[:start] + chance.choice(WORDS) + text[end:],
                text[:start] + chance.choice('{}()[]"\\#.,:=<>|?\0é\t\n') + text[start:],
            ]
        )
    return text


WORDS = (
    "let ",
    " on ",
    "flow ",
    "match ",
    "none",
    "is ",
    '"""',
    "{",
    "=> ",
    "for x in ",
    "repeat ",
    "it",
    "-> ",
    "0..",
    "as ",
)


@pytest.mark.parametrize("seed", range(3))
def test_fuzzed_flows(seed: int) -> None:
    chance = random.Random(seed)
    texts = [path.read_text() for path in [*programs("valid"), *programs("errors")]]
    for _ in range(40):
        told(mutated(chance.choice(texts), chance))


def test_every_beginning_of_a_file() -> None:
    text = (CASES / "valid" / "everything.flow").read_text()
    for end in range(0, len(text), 97):
        told(text[:end])


def test_a_source_without_text_has_a_place() -> None:
    assert Source("x.flow", "").span(0, 0).line == 1


@pytest.mark.parametrize("long", ["a" * 500_000 + " ?", "a(" * 100_000 + " for", '"a" ' * 100_000, "x: int " * 100_000])
def test_a_wrong_line_of_any_length_is_explained(long: str) -> None:
    """Patterns that look for what people mean read its ends: else these would take an hour."""
    found = check(f"flow f() -> str {{ return {long} }}")[1]
    assert len(found) == 1
