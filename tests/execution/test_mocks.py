"""Mocks: any value of a call's type, text as the model writes it, failures; and what is said of those that miss."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import alora_flow
from alora_flow.cli.test import command
from alora_flow.testing import TestResult, run_tests

HEAD = """
model base = "mini"
enum Kind { question, order = "an order" }
record Pet { name: str, age: int[0..30] }
tool search(q: str, k: int = 2) -> list[str] = python "tools:search"
intrinsic wrong() -> prob[bool] from "hallucination"
flow kind(q: str) -> Kind { return generate() as Kind on user(q) }
flow sure(q: str) -> bool { return generate() as bool on user(q) }
flow pet(q: str) -> Pet { return generate(max_tokens: 40) as Pet on user(q) }
flow many(q: str) -> list[int] { return generate() as list[int] on user(q) }
flow weighed(q: str) -> float { return (generate() as prob[bool] on user(q)).p(true) }
flow likeliest(q: str) -> Kind { return (generate() as prob[Kind] on user(q)).top }
flow said(q: str) -> str { return (generate(max_tokens: 8) on user(q)).text }
flow long(q: str) -> str { return (generate(max_tokens: 16) on user(q)).text }
flow found(q: str) -> str {
  let xs = search(q) else as why { return why }
  return join(xs, " ")
}
flow caught(q: str) -> str {
  let p = generate(max_tokens: 40) as Pet on user(q) else as why { return "no pet: {why}" }
  return p.name
}
intrinsic scored(by: str) -> prob[bool] { adapter "hallucination" emits enum("Y", "N") value it == "Y" }
flow judged(q: str) -> float { return (scored("b") on user(q)).p(true) }
flow checked(q: str) -> float { return (wrong() on user(q)).p(true) }
"""


@pytest.fixture
def run(tmp_path: Path) -> object:
    """From the body of a test to its result; the real tool would say so."""
    (tmp_path / "tools.py").write_text("def search(q, k):\n    raise RuntimeError('the real one')\n")

    def result(body: str) -> TestResult:
        path = tmp_path / "main.flow"
        path.write_text(f'{HEAD}test "t" {{\n{body}\n}}\n')
        module = alora_flow.load(path, backend="echo")
        (found,) = run_tests(module, list(module.compilation.program.tests))
        return found

    return result


PASSING = {
    "a record": 'mock generate() = Pet(name: "Tom", age: 3)\nexpect pet("x").name == "Tom"',
    "a record as JSON": 'mock generate() = "\\{\\"name\\": \\"Tom\\", \\"age\\": 3\\}"\nexpect pet("x").age == 3',
    "an enum's member": 'mock generate() as Kind = order\nexpect kind("x") == order',
    "an enum's member by its enum": 'mock generate() = Kind.order\nexpect kind("x") == order',
    "what the model writes for a member": 'mock generate() = "an order"\nexpect kind("x") == order',
    "a bool": 'mock generate() = true then false\nexpect sure("x") and not sure("x")',
    "a bool as text": 'mock generate() as bool = "false"\nexpect not sure("x")',
    "a list": 'mock generate() = [1, 2]\nexpect many("x") == [1, 2]',
    "a list as text": 'mock generate() = "[1, 2]"\nexpect many("x") == [1, 2]',
    "certainty": 'mock generate() = true\nexpect weighed("x") == 1.0',
    "a probability": 'mock generate() = 0.25\nexpect weighed("x") == 0.25',
    "certainty of a member": 'mock generate() as prob[Kind] = order\nexpect likeliest("x") == order',
    "certainty as text": 'mock generate() = "an order"\nexpect likeliest("x") == order',
    "text": 'mock generate() = "hello"\nexpect said("x") == "hello"',
    "types tell calls apart": """
        mock generate() = "hello"
        mock generate() = Pet(name: "Tom", age: 3)
        mock generate() as bool = true
        expect said("x") == "hello" and pet("x").name == "Tom" and sure("x")
    """,
    "settings tell calls apart": """
        mock generate() = "short"
        mock generate(max_tokens: 16) = "long"
        expect said("x") == "short" and long("x") == "long"
    """,
    "a failing tool": """
        mock search() fails "no network" then ["a"]
        expect found("x") == "no network" and found("x") == "a"
    """,
    "a failing generation": """
        mock generate() as Pet = Pet(name: "Tom", age: 3) then fails "cut"
        expect caught("x") == "Tom" and caught("x") == "no pet: cut"
    """,
    "a failing flow": """
        mock found() fails "never"
        let x = found("x") else as why { why }
        expect x == "never" and calls(found) == 1
    """,
    "a value that a test computes": """
        let name = upper("tom")
        mock generate() = Pet(name: name, age: 3)
        expect pet("x").name == "TOM"
    """,
}


@pytest.mark.parametrize("body", PASSING.values(), ids=PASSING.keys())
def test_what_a_mock_may_give(body: str, run: object) -> None:
    result = run(body)  # type: ignore[operator]
    assert (result.outcome, result.message, result.notes) == ("passed", "", ())


ERRORS = {
    "text that is no value": (
        'mock generate() = "hello"\nexpect sure("x")',
        "line 8: the mock of this call gives 'hello', which is no bool",
    ),
    "JSON that does not fit": (
        'mock generate() as Pet = "\\{\\"name\\": \\"Tom\\", \\"age\\": 31\\}"\nexpect pet("x").age == 3',
        "which is no Pet",
    ),
    "arguments that miss a tool": (
        'mock search(q: "a") = ["a"]\nexpect found("b") == "a"',
        "no mock of 'search' fits (q: 'b', k: 2)",
    ),
    "arguments that miss a flow": (
        'mock found(q: "a") = "a"\nexpect found("b") == "a"',
        "no mock of 'found' fits (q: 'b')",
    ),
    "arguments that miss an intrinsic": (
        'mock scored(by: "a") = true\nexpect judged("x") == 1.0',
        "no mock of 'scored' fits (by: 'b')",
    ),
    "a mock that fails": ('mock generate() fails "cut"\nexpect said("x") == ""', "cut"),
    "a tool without a mock is real": ('let xs = search("x")\nexpect len(xs) == 0', "the real one"),
}


@pytest.mark.parametrize(("body", "said"), ERRORS.values(), ids=ERRORS.keys())
def test_what_is_said_of_a_mock_that_does_not_fit(body: str, said: str, run: object) -> None:
    """Nor does an `else` of the flow hide it."""
    result = run(body)  # type: ignore[operator]
    assert result.outcome == "error"
    assert said in result.message


UNUSED = {
    "of a call that there is not": 'mock sure() = true\nexpect kind("x") == question',
    "behind its call": 'let p = said("x")\nmock generate() = "y"\nexpect p == "x"',
    "of another type": 'mock generate() = Pet(name: "", age: 1)\nexpect said("x") == "x"',
    "of other settings": 'mock generate(max_tokens: 99) = "y"\nexpect said("x") == "x"',
    "that a later one hides": 'mock sure() = true\nmock sure() = false\nexpect not sure("x")',
}


@pytest.mark.parametrize("body", UNUSED.values(), ids=UNUSED.keys())
def test_a_mock_that_answers_nothing_is_said(body: str, run: object) -> None:
    result = run(body)  # type: ignore[operator]
    assert result.outcome == "passed"
    (note,) = result.notes
    assert ": no call was answered by 'mock " in note


def test_notes_are_shown_and_change_no_exit_code(tmp_path: Path) -> None:
    (tmp_path / "main.flow").write_text(HEAD + 'test "t" { mock sure() = true  expect kind("x") == question }\n')
    done = CliRunner().invoke(command, ["--echo", str(tmp_path), "--junit", str(tmp_path / "out.xml")])
    assert done.exit_code == 0
    assert "NOTE" in done.output
    assert "line 26: no call was answered by 'mock sure() = true'" in done.output
    assert "<system-out>line 26: no call" in (tmp_path / "out.xml").read_text()
