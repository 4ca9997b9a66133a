"""A graph's text says all of it: reading it back gives an equal graph, for every flow there is and for made ones."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alora_flow.errors import BadInput
from alora_flow.language import Program, check
from alora_flow.language.report.source import Source
from alora_flow.planning.graph.nodes import FlowGraph
from alora_flow.planning.graph.text import parse_graph, print_graph
from alora_flow.planning.graph.verify import BrokenGraph, verify
from alora_flow.planning.lowering.lowering import lower, lower_test
from alora_flow.planning.passes.table import run_passes
from tests.planning.programs import flow_text

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for folder in ("flows", "tests/cases/plan", "tests/cases/flows", "tests/cases/valid")
    for path in sorted((ROOT / folder).glob("*.flow"))
]


def program(text: str, path: str = "case.flow") -> Program:
    checked, diagnostics = check(Source(path, text))
    errors = [str(found.message) for found in diagnostics if found.severity == "error"]
    assert not errors, f"{errors}\n{text}"
    return checked


def graphs(checked: Program) -> list[FlowGraph]:
    made = [lower(checked, flow) for flow in checked.flows.values()]
    made += [lower_test(checked, test) for test in checked.tests]
    return [*made, *map(run_passes, made)]


def assert_read_back(graph: FlowGraph, checked: Program) -> None:
    text = print_graph(graph, checked)
    again = parse_graph(text, checked)
    assert again == graph
    assert print_graph(again, checked) == text
    verify(again)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_flow_and_test_there_is(path: Path) -> None:
    checked = program(path.read_text(), str(path))
    for graph in graphs(checked):
        assert_read_back(graph, checked)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32))
def test_flows_made_at_random(seed: int) -> None:
    checked = program(flow_text(random.Random(seed)))
    for graph in graphs(checked):
        assert_read_back(graph, checked)


SMALL = program(
    """
    model base = "mini"
    enum Colour { red, green }
    intrinsic safe() -> bool from "safety"
    tool note(text: str) -> none = python "notes:note"
    flow ask(question: str) -> str { return question }
    test "one" { expect true }
    """
)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('%x: nothing = input("question")', "there is no type 'nothing'"),
        ('%x: int[1..] = inptu("question")', "there is no operation or expression 'inptu'"),
        ('%x: str = input("questoin")', "there is no parameter 'questoin'"),
        ("%x: str = value(%y)", "there is no node before this one 'y'"),
        ("%x: bool = invoke(%question, @sfe, [])", "there is no intrinsic or tool 'sfe'"),
        ("%x: str = value(%question, 1)", "value takes expression, not 2 values"),
        ('%question: str = input("question")', "there are two nodes 'question'"),
        ("%x: str input", "line 3 of the graph"),
    ],
)
def test_a_wrong_text_is_told(line: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse_graph(f'flow ask\n  %question: str = input("question")\n  {line}\n', SMALL)


ATTEMPT = 'attempt(%question, ["question"])'


@pytest.mark.parametrize(
    ("lines", "broken"),
    [
        (['%a: str = value(%question) when +b', "%b: bool = condition(literal(true))"], "'b', which comes later"),
        (['%a: str = value(%question) when +b'], "'a' needs 'b', which is missing"),
        (['%a: str = value(%question) when +question'], "guards are bool: 'a' is guarded by 'question', a str"),
        (['%b: str = input("question")'], "each parameter has one node: parameter 'question' has 2 nodes"),
        (['%a: none = tool(@note, [text = %question]) early'], "what starts early has no effect: 'a'"),
        (['%a: str = value(%question) mocked [mockrule(0, [], [%question])]'], "mocks stand at calls: 'a' has mocks"),
        (['%a: str = mocked("ask", [])'], "'a' is mocked by nothing"),
        (['inlined("ask", [], "question", "x")'], "an inlined call is there as a whole"),
        ([f"%{name}: bool = {ATTEMPT}" for name in "ab"], "'question' belongs to the attempts 'a' and 'b'"),
        (['%a: str = failure("question")'], "asks why 'question' failed, which is no attempt"),
        ([f"%a: bool = {ATTEMPT}", '%b: str = failure("a") when +a'], "'b' asks why 'a' failed, and runs where"),
        (['%a: str = return(%question)', "%b: bool = expect(literal(true))"], "a graph returns or expects"),
    ],
)  # fmt: skip
def test_a_broken_graph_is_told_by_its_invariant(lines: list[str], broken: str) -> None:
    text = "\n  ".join(["flow ask", '%question: str = input("question")', *lines])
    with pytest.raises(BrokenGraph, match=broken):
        verify(parse_graph(text, SMALL))


def test_nodes_stand_under_their_ids() -> None:
    graph = parse_graph('flow ask\n  %question: str = input("question")', SMALL)
    (node,) = graph.nodes.values()
    with pytest.raises(BrokenGraph, match="each node stands under its own id: 'question' stands under 'other'"):
        verify(FlowGraph(graph.flow, {"other": node}))


def test_the_made_flows_are_right_and_varied() -> None:
    texts = [flow_text(random.Random(seed)) for seed in range(40)]
    for text in texts:
        program(text)
    for word in ("for ", "repeat ", "if ", "match ", "tool ", "helper(", "generate(", "safe()", "and ", "??"):
        assert any(word in text for text in texts), word
