"""Passes, text to text, and what lowering leaves to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from alora_flow.backends.echo import open_echo
from alora_flow.language import load
from alora_flow.language.meaning.program import Program
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.graph.nodes import Attempt
from alora_flow.planning.graph.text import parse_graph, print_graph
from alora_flow.planning.lowering.lowering import lower, lower_test
from alora_flow.planning.passes.dead_nodes import remove_dead_nodes
from alora_flow.planning.passes.mocking import apply_mocks
from alora_flow.planning.passes.table import PASSES, run_passes
from alora_flow.planning.schedule import print_schedule
from tests.command import warm

PROGRAM = load("""
model base = "mini"
intrinsic safe() -> bool from "safety"
tool look(q: str) -> list[document] = python "nowhere:look" with (pure: true)
flow ask(question: str) -> str { return question }
test "mocked" { expect true }
""")


def through(change, lines: str, program: Program = PROGRAM) -> str:
    return print_graph(change(parse_graph(lines.strip() + "\n", program)), program).strip()


def test_dead_nodes_go_and_what_has_an_effect_stays() -> None:
    before = """
flow ask
  %question: str = input("question")
  %unread: str = text_2
"""
    before = before.replace("text_2", 'value(text(["x"]))')
    before += """  %asked: thread = thread(turn("user", %question))
  %lost: thread = thread(turn("user", %unread))
  %safe: bool = invoke(%asked, @safe, [])
  %return: str = return(%question)
"""
    assert (
        through(remove_dead_nodes, before)
        == """
flow ask
  %question: str = input("question")
  %asked: thread = thread(turn("user", %question))
  %safe: bool = invoke(%asked, @safe, [])
  %return: str = return(%question)
""".strip()
    )


def test_mocks_become_rules_of_the_calls_after_them() -> None:
    before = """
test "mocked"
  %first: list[document] = tool(@look, [q = text(["a"])])
  %mock: none = mock("ToolDecl look", [], [list([])<list[never]>], none)
  %second: list[document] = tool(@look, [q = text(["b"])])
  %mock_2: none = mock("ToolDecl look", [q = text(["c"])], [%first], none)
  %third: list[document] = tool(@look, [q = text(["c"])])
  %calls: int[0..] = callcount("ToolDecl look", ["first", "second", "third"])
"""
    assert (
        through(apply_mocks, before)
        == """
test "mocked"
  %first: list[document] = tool(@look, [q = text(["a"])])
  %second: list[document] = tool(@look, [q = text(["b"])]) mocked [mockrule(0, [], [list([])<list[never]>])]
  %third: list[document] = tool(@look, [q = text(["c"])]) \
mocked [mockrule(1, [q = text(["c"])], [%first]), mockrule(0, [], [list([])<list[never]>])]
  %calls: int[0..] = callcount("ToolDecl look", ["first", "second", "third"])
""".strip()
    )


def test_a_mocked_flow_is_one_node() -> None:
    before = """
test "mocked"
  %mock: none = mock("FlowDecl ask", [], [text(["m"])], none)
  %r.question: str = value(text(["a"]))
  %r.look: list[document] = tool(@look, [q = %r.question])
  %r.return: str = value(%r.question)
  %r: str = select([[[], %r.return]], "ask")
  %calls: int[0..] = callcount("FlowDecl ask", ["r.look", "r"])
  budget("ask", "r.", [limit("calls", 3)])
  inlined("ask", [question = text(["a"])], "r.question", "r")
"""
    assert (
        through(apply_mocks, before)
        == """
test "mocked"
  %r: str = mocked("ask", [question = text(["a"])]) mocked [mockrule(0, [], [text(["m"])])]
  %calls: int[0..] = callcount("FlowDecl ask", ["r"])
""".strip()
    )


def test_passes_are_left_out_by_name(tmp_path: Path) -> None:
    (tmp_path / "f.flow").write_text("flow f(a: int) -> int { let b = a + 1  return a }")
    kept = Compilation(tmp_path / "f.flow", left_out=["dead-nodes"])
    assert list(kept.graph(kept.flow(None)).nodes) == ["a", "b", "return"]
    gone = Compilation(tmp_path / "f.flow")
    assert list(gone.graph(gone.flow(None)).nodes) == ["a", "return"]


@pytest.mark.parametrize("command", ["plan", "run"])
def test_from_the_command_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "f.flow").write_text('model base = "mini"\nflow f(a: int = 1) -> int { let b = a + 1  return a }')
    for each in PASSES:
        assert warm(command, "f.flow", "--no-pass", each.name, cwd=tmp_path).code == 0
    wrong = warm(command, "f.flow", "--no-pass", "dead-node", cwd=tmp_path)
    assert wrong.code == 2
    assert "there is no pass 'dead-node'; did you mean 'dead-nodes'?" in wrong.stderr


def test_nested_conditions_are_lowered_once_each() -> None:
    nested = " and (".join(["f(b: b)"] * 40) + ")" * 39
    program = load(f"flow f(b: bool) -> bool {{ return b }}\nflow main(b: bool) -> bool {{ return {nested} }}")
    assert len(lower(program, program.flows["main"]).nodes) == 40 * 2 + 39 + 2


BUDGETS = """
model base = "mini"
flow f(b: str) -> bool budget { calls <= 1 } { let r = generate(max_tokens: 2) on user(b)  return r.text == b }
flow main(b: str) -> bool { return f(b: b) and f(b: b) }
"""


def test_each_call_of_a_flow_has_its_own_budget(tmp_path: Path) -> None:
    """The right side of `and` was lowered twice and its budget with it; two calls of one flow counted as one."""
    program = load(BUDGETS)
    assert [budget.prefix for budget in lower(program, program.flows["main"]).budgets] == ["f.", "f_2."]
    (tmp_path / "b.flow").write_text(BUDGETS)
    assert Module(Compilation(tmp_path / "b.flow"), open_echo).flows["main"](b="x").trace.kept_promise


def test_a_schedule_says_what_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "s.flow").write_text(
        'model base = "mini"\nintrinsic sure() -> float[0.0..1.0] from "uncertainty"\n'
        "flow s(q: str) -> float { thread t = user(q)  let r = generate(max_tokens: 2) on t\n"
        "  let a = sure() on r  let b = sure() on t  return a + b }"
    )
    compilation = Compilation(tmp_path / "s.flow")
    assert print_schedule(compilation.schedule(compilation.flow(None), {})) == (
        "0  r  2 parts, read again: 2 by a; releases 0\n"
        "1  a  3 parts, read again: 1 by b; releases 2\n"
        "2  b  2 parts; releases 2\n"
    )


def test_an_attempt_keeps_its_value_and_no_other_that_nothing_reads() -> None:
    text = """
        flow f(q: str) -> str {
          let a = g(q) else { "none" }
          let _ = split(q, "b")[1] else { return "no b" }
          return a
        }
        flow g(q: str) -> str {
          let dead = split(q, "a")[1]
          return q
        }
    """
    program = load(text)
    graph = run_passes(lower(program, program.flows["f"]))
    assert "a.dead" not in graph.nodes
    attempts = [node.operation for node in graph.nodes.values() if isinstance(node.operation, Attempt)]
    assert [attempt.among for attempt in attempts] == [("a.return", "a"), ("value",)]


def test_a_test_graph_comes_out_of_the_passes_without_mocks() -> None:
    program = load(
        'model base = "mini"\nflow f() -> str { return "x" }\n'
        'test "t" { let a = f()  mock f() = "y"  let b = f()  expect a != b and calls(f) == 2 }'
    )
    graph = run_passes(lower_test(program, program.tests[0]))
    assert {node.id: node.kind for node in graph.nodes.values() if node.id in "ab"} == {"a": "select", "b": "mocked"}
    assert "mock" not in {node.kind for node in graph.nodes.values()}
