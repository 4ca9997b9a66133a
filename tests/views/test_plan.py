"""Plans in print and as JSON, with numbers that are known and numbers that are not."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from alora_flow.intrinsics.contract import resolve
from alora_flow.intrinsics.library import ModelFiles
from alora_flow.planning.graph.nodes import FlowGraph
from alora_flow.planning.model_parts import ModelParts
from alora_flow.planning.prefix.amounts import Amount
from alora_flow.planning.prefix.plan import PrefixPlan, plan
from alora_flow.planning.schedule import schedule
from alora_flow.planning.setup import Setup
from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import Hole, Prompter
from alora_flow.prompts.tokens import Tokenizer
from alora_flow.values.data import Document
from alora_flow.views.amounts import Notation, difference, least_share, saved_share
from alora_flow.views.drawing import draw
from alora_flow.views.plan_json import plan_json
from alora_flow.views.plan_text import show_plan
from tests.tiny import tokenizer, write_adapter_folder, write_model_folder
from tests.views.example import GRAPH, INTRINSICS

ADAPTERS = {"safety": "<|safety|>", "query_rewrite": "<|rewrite|>", "uncertainty": "<|certainty|>"}
KNOWN = {"question": "Who?", "history": [], "query": "who", "found": [Document(text="It is Ada.", title="Ada")]}
EMPTY = PrefixPlan((), Amount(), Amount())


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = write_model_folder(tmp_path_factory.mktemp("model"))
    model, encoder = ModelFiles("tiny", folder), Tokenizer(folder)
    for name, invocation in ADAPTERS.items():
        tokens = [tokenizer().token_to_id(invocation) or 0]
        write_adapter_folder(folder / "intrinsics" / name / "tiny" / "alora", tokens, r=len(name))
    contracts = {key: resolve(intrinsic, model, encoder, folder) for key, intrinsic in INTRINSICS.items()}
    parts = ModelParts(model, Prompter(encoder, ChatTemplate(folder)), contracts)
    return Setup(lambda: parts)


def printed(prefix_plan: PrefixPlan, width: int = 80) -> str:
    target = io.StringIO()
    show_plan(Console(file=target, width=width, highlight=False), draw(GRAPH), prefix_plan)
    return target.getvalue()


def compact(text: str) -> str:
    return " ".join(text.split())


def test_what_is_not_known_is_printed_as_lengths(setup: Setup) -> None:
    text = printed(plan(schedule(GRAPH, setup, {"history": []})))
    assert "16 + |question|" in compact(text)
    assert "not known before the run (|reply| ≤ 64)." in compact(text)


def test_every_call_is_a_row_with_its_thread_and_adapter(setup: Setup) -> None:
    rows = printed(plan(schedule(GRAPH, setup, KNOWN))).split("call ")[1].splitlines()
    starts = [row.split()[:2] for row in rows if row[1:2].isalpha()]
    assert starts[:4] == [["safety", "ask"], ["query", "ask"], ["reply", "grounded"], ["sure", "reply"]]
    assert "query_rewrite" in "".join(rows)
    assert "last token" in "".join(rows)


def test_the_table_comes_after_the_graph_and_both_fit_80_columns(setup: Setup) -> None:
    for known in ({}, KNOWN):
        lines = printed(plan(schedule(GRAPH, setup, known))).splitlines()
        assert lines[0].startswith("rag(question: str, history: chat) -> str")
        assert max(map(len, lines)) <= 80
        assert not any("\x1b" in line or line.endswith(" ") for line in lines)


@pytest.mark.parametrize("width", [80, 60, 200])
def test_no_number_is_cut(setup: Setup, width: int) -> None:
    prefix_plan = plan(schedule(GRAPH, setup, KNOWN))
    text = printed(prefix_plan, width)
    for call in prefix_plan.calls:
        assert str(call.prefilled.tokens) in text.split()
        assert str(call.reused.tokens) in text.split()


def test_totals_stand_beside_no_reuse_and_plain_lora(setup: Setup) -> None:
    two_calls = FlowGraph(GRAPH.flow, {node_id: GRAPH.nodes[node_id] for node_id in list(GRAPH.nodes)[:7]})
    prefix_plan = plan(schedule(two_calls, setup, KNOWN))
    text = compact(printed(prefix_plan))
    prompt = prefix_plan.calls[0].prefilled.tokens
    assert f"this plan {prompt + 1} to prefill" in text
    saves = f"this plan saves {prompt - 1} ({100 * (prompt - 1) // (2 * prompt)}%)"
    assert f"no reuse {2 * prompt} {saves}" in text
    assert f"plain LoRA instead {2 * prompt} {saves}" in text


def test_a_share_is_given_where_all_is_known() -> None:
    assert saved_share(Amount(100), Amount(20)) == 0.8
    assert saved_share(Amount(100), Amount(20, {Hole("q"): 1})) is None
    assert saved_share(Amount(0), Amount(0)) is None


def test_a_lower_bound_holds_however_long_the_holes_are() -> None:
    q, r = Hole("q"), Hole("r")
    instead, prefilled = Amount(100, {q: 4, r: 1}), Amount(20, {q: 1})
    assert least_share(instead, prefilled) == 0.75
    for length in (0, 1, 7, 10_000):
        assert 1 - (20 + length) / (100 + 4 * length + 3) >= 0.75
    assert least_share(Amount(100), Amount(20, {q: 1})) is None
    assert least_share(Amount(), Amount()) is None
    assert least_share(Amount(0, {q: 2}), Amount(0, {q: 1})) == 0.5


def test_differences_are_given_where_they_are_no_debt() -> None:
    q, r = Hole("q"), Hole("r")
    assert difference(Amount(9, {q: 3}), Amount(4, {q: 1})) == Amount(5, {q: 2})
    assert difference(Amount(9, {q: 1}), Amount(4, {q: 1})) == Amount(5)
    assert difference(Amount(4), Amount(9)) is None
    assert difference(Amount(9, {q: 1}), Amount(4, {r: 1})) is None


def test_a_flow_without_calls_says_so() -> None:
    assert printed(EMPTY).endswith("No call of a model.\n")


def test_long_names_get_numbers_that_are_explained() -> None:
    long, short = Hole("texts[0].summary.document.text"), Hole("q", 8)
    held = PrefixPlan((), Amount(3, {long: 2, short: 1}), Amount())
    notation = Notation(held)
    assert notation.show(held.no_reuse) == "3 + 2·|#1| + |q|"
    assert notation.stack(held.no_reuse, 8) == "3\n+ 2·|#1|\n+ |q|"
    assert list(notation.explained())[-1] == "#1: texts[0].summary.document.text"
    assert list(Notation(EMPTY).explained()) == []


# ------------------------------------------------------------------------- JSON

AMOUNT = {"tokens": int, "holes": [{"of": str, "times": int, "at_most": (int, type(None))}]}
TOTAL = {"reused": AMOUNT, "prefilled": AMOUNT, "generated_at_most": int}
INSTEAD = {"prefilled": AMOUNT, "saved": (float, type(None)), "saved_at_least": (float, type(None))}
COST = {"prefilled": AMOUNT, "generated": int}
OWN = {
    "budget": int,
    "calls": [
        {"name": str, "adapter": (str, type(None)), "prefilled": int, "generated": int, "returned": AMOUNT},
    ],
    "at_most": COST,
    "expected": COST,
}
CALL = {
    **TOTAL,
    "id": str,
    "kind": str,
    "extends": str,
    "adapter": (str, type(None)),
    "active_from": (AMOUNT, None),
    "own": (OWN, None),
}
INSIDE = {"name": str, "kind": str, "inside": list}
NODE = {"id": str, "kind": str, "does": str, "guards": [{"node": str, "holds": bool}], "inside": [INSIDE]}
SCHEMA = {
    "flow": str,
    "model": str,
    "graph": {"nodes": [NODE], "edges": [{"from": str, "to": str, "kind": str}]},
    "calls": [CALL],
    "total": TOTAL,
    "instead": {"no_reuse": INSTEAD, "plain_lora": INSTEAD},
}


def check(value: Any, schema: Any) -> None:
    if isinstance(schema, Mapping):
        assert set(value) == set(schema)
        for name, part in schema.items():
            check(value[name], part)
    elif isinstance(schema, list):
        for item in value:
            check(item, schema[0])
    elif isinstance(schema, tuple) and isinstance(schema[0], Mapping):
        if value is not None:
            check(value, schema[0])
    else:
        assert isinstance(value, schema)


@pytest.mark.parametrize("known", [{}, KNOWN])
def test_json_has_the_documented_form(setup: Setup, known: dict[str, Any]) -> None:
    content = json.loads(json.dumps(plan_json(GRAPH, plan(schedule(GRAPH, setup, known)), "tiny")))
    check(content, SCHEMA)
    assert [call["id"] for call in content["calls"]] == ["safety", "query", "reply", "sure"]
    assert [call["extends"] for call in content["calls"]] == ["ask", "ask", "grounded", "reply"]


def test_json_numbers_add_up(setup: Setup) -> None:
    content = plan_json(GRAPH, plan(schedule(GRAPH, setup, {})), "tiny")
    prefilled = sum(call["prefilled"]["tokens"] for call in content["calls"])
    assert content["total"]["prefilled"]["tokens"] == prefilled
    reused = content["total"]["reused"]["tokens"]
    assert content["instead"]["no_reuse"]["prefilled"]["tokens"] == prefilled + reused
    assert content["calls"][0]["prefilled"]["holes"][-1] == {"of": "question", "times": 1, "at_most": None}


def test_json_gives_the_saved_share_where_it_is_known(setup: Setup) -> None:
    only_checked = plan(schedule(GRAPH, setup, {**KNOWN, "safety": False, "if": True}))
    content = plan_json(GRAPH, only_checked, "tiny")
    prefilled = content["total"]["prefilled"]
    assert content["instead"]["no_reuse"] == {"prefilled": prefilled, "saved": 0.0, "saved_at_least": 0.0}
