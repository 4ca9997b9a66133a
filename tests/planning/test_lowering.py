"""Control flow as a graph: every program here is pure, so what it gives is what the guards make of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from alora_flow.backends.echo import open_echo
from alora_flow.errors import BadInput, RunFailed
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.graph.nodes import guards, reads


def module(folder: Path, body: str) -> Module:
    path = folder / "case.flow"
    path.write_text(f'model base = "mini"\n{body}\n')
    return Module(Compilation(path), open_echo)


NESTED = """
flow main(x: int) -> str {
  if x > 3 { if x > 5 { return "large" } } else { if x < 0 { return "negative" } }
  if x == 0 { return "zero" }
  return "middling"
}
"""
MATCH = """
enum Colour { red, green, blue }
record Found { text: str }
flow pick(c: Colour) -> Found | none {
  match c { red => { return Found(text: "r") } green => { let x = 1 } else => { return none } }
  return Found(text: "g")
}
flow main(c: Colour) -> str {
  let found = pick(c: c)
  match found { Found as f => { return f.text } none => { return "none" } }
}
"""
FOR = """
flow main(xs: list[int]) -> list[int] {
  let kept = for x in xs limit 4 { let double = x * 2  keep double when double > 2 }
  return kept
}
"""
REPEAT = """
flow main(goal: int) -> int {
  let found = repeat (n = 1) up to 4 { accept n when n * n >= goal  next n = n + 1 } else { return -1 }
  return found * 10
}
"""
RECURSION = """
flow main(n: int) -> int max_depth 5 {
  if n <= 1 { return 1 }
  return n * main(n: n - 1)
}
"""
OPTIONAL = """
flow half(n: int) -> float? { if n % 2 == 0 { return n / 2 } return none }
flow main(n: int) -> float { return half(n: n) ?? half(n: n + 1) ?? 0.0 }
"""
AND = """
flow positive(n: int) -> bool { require n != 7 else "asked about seven"  return n > 0 }
flow main(n: int) -> str { if n != 7 and positive(n: n) { return "yes" } return "no" }
"""


@pytest.mark.parametrize(
    ("body", "inputs", "value"),
    [
        (NESTED, {"x": 9}, "large"),
        (NESTED, {"x": 4}, "middling"),
        (NESTED, {"x": -1}, "negative"),
        (NESTED, {"x": 0}, "zero"),
        (MATCH, {"c": "red"}, "r"),
        (MATCH, {"c": "green"}, "g"),
        (MATCH, {"c": "blue"}, "none"),
        (FOR, {"xs": [1, 2, 3, 4, 5]}, [4, 6, 8]),
        (FOR, {"xs": [5]}, [10]),
        (FOR, {"xs": []}, []),
        (REPEAT, {"goal": 1}, 10),
        (REPEAT, {"goal": 9}, 30),
        (REPEAT, {"goal": 17}, -1),
        (RECURSION, {"n": 1}, 1),
        (RECURSION, {"n": 5}, 120),
        (OPTIONAL, {"n": 6}, 3.0),
        (OPTIONAL, {"n": 5}, 3.0),
        (AND, {"n": 3}, "yes"),
        (AND, {"n": -3}, "no"),
        (AND, {"n": 7}, "no"),
    ],
)
def test_the_result(tmp_path: Path, body: str, inputs: dict[str, Any], value: Any) -> None:
    assert module(tmp_path, body).flows["main"].run(inputs).value == value


def test_recursion_beyond_its_depth_is_a_failed_run(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="'main' called itself more than max_depth 5 times"):
        module(tmp_path, RECURSION).flows["main"].run({"n": 7})


def test_every_edge_of_the_graph_ends_at_a_node_and_guards_are_edges_of_their_own(tmp_path: Path) -> None:
    case = module(tmp_path, NESTED)
    graph = case.compilation.graph(case.flows["main"].declaration)
    assert {kind for node in graph.nodes.values() for _, kind in reads(node)} == {"data"}
    assert any(guards(node) for node in graph.nodes.values())
    assert set(graph.readers) == set(graph.nodes) >= {reader for found in graph.readers.values() for reader in found}
    assert [node.kind for node in graph.nodes.values()].count("merge") == 1


def test_a_merge_waits_for_the_last_condition_on_each_way(tmp_path: Path) -> None:
    case = module(tmp_path, 'flow main(a: int) -> str { if a > 1 { if a > 2 { return "x" } }  return "y" }')
    graph = case.compilation.graph(case.flows["main"].declaration)
    merge = next(node for node in graph.nodes.values() if node.kind == "merge")
    edges = [(guard.condition, guard.holds) for guard in graph.gates(merge)]
    assert sorted(edges) == [("if", False), ("if_2", False)]  # which stands where "if" holds


def test_what_the_last_round_hands_on_is_not_in_the_graph(tmp_path: Path) -> None:
    case = module(tmp_path, REPEAT)
    graph = case.compilation.graph(case.flows["main"].declaration)
    assert [node_id for node_id in graph.nodes if node_id.endswith(".n")] == [f"found[{i}].n" for i in range(3)]


def test_holes_of_computed_text_are_named_by_what_they_are_made_of(tmp_path: Path) -> None:
    body = 'flow main(a: int) -> str { let r = generate(max_tokens: 1) on user("Sum {a + 1}, {a}")  return r.text }'
    case = module(tmp_path, body)
    plan = case.compilation.plan(case.flows["main"].declaration, {})
    assert [hole.source for hole in plan.prefilled.holes] == ["(a + 1)", "a"]


CHAIN = [f"flow f{i}(n: int) -> int {{ return f{i + 1}(n) }}" for i in range(300)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("\n".join([*CHAIN, "flow f300(n: int) -> int { return n }"]), "more than 100 deep"),
        ("flow f0(n: int) -> int max_depth 20 { return f0(n - 1) + f0(n - 2) }", "more than 30,000 nodes"),
        ("flow f0(n: int) -> int { for i in range(200) { for j in range(200) { let k = i + j } } return n }", "30,000"),
    ],
    ids=["a long chain of calls", "a recursion", "nested loops"],
)
def test_a_graph_that_is_too_large_is_an_error_with_the_number_and_the_place(
    tmp_path: Path, body: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        module(tmp_path, body).f0(n=5)
    assert refused.value.places[0].path.endswith("case.flow")


@pytest.mark.parametrize(("inside", "count"), [(1, 90), (60, 90), (90, 40)])
def test_calls_deep_inside_expressions_that_call_each_other(tmp_path: Path, inside: int, count: int) -> None:
    flows = [
        f"flow f{i}(n: int) -> int {{ return {'(' * inside}f{i + 1}(n){' + 1)' * inside} }}" for i in range(count - 1)
    ]
    body = "\n".join([*flows, f"flow f{count - 1}(n: int) -> int {{ return n }}"])
    usual = sys.getrecursionlimit()
    assert module(tmp_path, body).f0(n=5).value == 5 + inside * (count - 1)
    assert sys.getrecursionlimit() == usual
