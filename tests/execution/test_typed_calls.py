"""Typed answers in the middle of which the model calls, and intrinsics that call others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alora_flow import BadInput, RunFailed
from alora_flow.backends.echo import open_echo
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.testing import run_tests
from tests.execution.forced import Part, forced
from tests.execution.test_own_calls import HEAD, QUESTION, written

CERTAIN, SAFE, COUNT = "<|uncertainty|>", "<|safety|>", "<|reserved_1|>"
KINDS = """
enum Kind { mayor, river, neither }
record Fact { kind: Kind, year: int[1..2000], sure: bool }
tool count(n: int[0..99]) -> int = python "kb:count" with (pure: true, invoke: "<|reserved_1|>")
"""
TYPED: list[tuple[str, tuple[Part, ...], int]] = [
    ("Kind", (CERTAIN,), 1),
    ("Kind", (CERTAIN, SAFE, CERTAIN), 3),
    ("Fact", ('{"kind": "', CERTAIN, "mayor", '", "year": 1', CERTAIN, COUNT, "9", SAFE), 4),
    ("bool", (COUNT, CERTAIN), 2),
    ("int[1..300]", (CERTAIN, "2", CERTAIN, "0", SAFE), 3),
    ("list[Kind]", ("[", CERTAIN, '"mayor"', SAFE), 2),
    ("str", ("Paris.", CERTAIN, "!", 1), 1),
]


def typed(folder: Path, type: str, *parts: Part, clauses: str = "", settings: str = "") -> Module:
    (folder / "kb.py").write_text("def count(n): return n + 1")
    body = f"""
  let found = generate({settings}) as {type} on user(q) may invoke [certainty, safety, count] {{ {clauses} }}
  return found
"""
    return forced(written(folder, body, type, HEAD + KINDS), *parts, arguments=['{"n": 1}'] * 3)


@pytest.mark.parametrize("clauses", ["", "on certainty => drop on count => drop"])
@pytest.mark.parametrize(("type", "parts", "calls"), TYPED)
def test_a_typed_answer_survives_its_calls(
    tmp_path: Path, type: str, parts: tuple[Part, ...], calls: int, clauses: str
) -> None:
    settings = "max_tokens: 12" if type == "str" else ""
    module = typed(tmp_path, type, *parts, clauses=clauses, settings=settings)
    result = module.main(q=QUESTION)
    rows = result.trace["found"].calls
    assert len([row for row in rows if row.depth]) == calls
    assert result.trace.kept_promise
    shown = str(getattr(result.value, "model_dump", lambda **_: result.value)(mode="json"))
    assert {"Fact": "'year': 19", "list[Kind]": "mayor", "int[1..300]": "20", "str": "Paris.!"}.get(type, "") in shown


def test_a_call_changes_nothing_of_a_typed_answer_where_it_is_dropped(tmp_path: Path) -> None:
    clauses = "on certainty => drop on safety => drop"
    plain = typed(tmp_path, "Fact", clauses=clauses).main(q=QUESTION)
    called = typed(tmp_path, "Fact", '{"kind": "', CERTAIN, clauses=clauses).main(q=QUESTION)
    assert len(plain.trace["found"].calls) == 1
    assert len(called.trace["found"].calls) == 3
    assert called.value == plain.value


def test_one_that_is_stopped_has_no_value(tmp_path: Path) -> None:
    module = typed(tmp_path, "Fact", '{"kind": "', CERTAIN, clauses="on certainty => stop")
    with pytest.raises(
        RunFailed, match=r"'found\' .*the clause for 'certainty' stopped it before there was a Fact"
    ) as told:
        module.main(q=QUESTION)
    assert "else" in str(told.value.help)


def test_a_typed_answer_is_tried_again(tmp_path: Path) -> None:
    clauses = "on certainty => stop"
    module = typed(tmp_path, "Kind", CERTAIN, clauses=clauses, settings="retry: 2, temperature: 0.5")
    with pytest.raises(RunFailed):
        module.main(q=QUESTION)
    path = module.compilation.path
    plan = Compilation(path).plan(Compilation(path).flow("main"), {"q": QUESTION})
    assert plan.calls[0].tries == 3


REFUSED = [
    ("Kind", 'tool worded(n: int) -> int = python "kb:f" with (invoke: "(worded)")', "part of a typed answer"),
]


@pytest.mark.parametrize(("type", "declared", "message"), REFUSED)
def test_what_could_be_part_of_the_answer_is_refused(tmp_path: Path, type: str, declared: str, message: str) -> None:
    body = f"let found = generate() as {type} on user(q) may invoke [worded]\n  return found"
    path = written(tmp_path, body, type, HEAD + KINDS + declared)
    with pytest.raises(BadInput, match=f"line .*{message}") as told:
        Compilation(path).plan(Compilation(path).flow("main"), {})
    assert told.value.help


def test_an_echo_of_typed_answers(tmp_path: Path) -> None:
    for type, value in (("Kind", "mayor"), ("bool", True)):
        module = typed(tmp_path, type)
        result = Module(module.compilation, open_echo).main(q="?")
        assert result.value == value
        assert [row.id for row in result.trace.calls] == ["found", "found#2 certainty", "found#3"]
        assert result.trace.kept_promise


# ------------------------------------------------------------------ calls within calls

JUDGE = """
intrinsic judge() -> bool {
  adapter "hallucination"
  invoke "<|hallucination|>"
  emits EMITS
  value VALUE
  may invoke [certainty] CLAUSES
}
"""


def judged(folder: Path, *parts: Part, within: tuple[Part, ...], **given: Any) -> Module:
    judge = JUDGE.replace("EMITS", given.get("emits", "bool")).replace("VALUE", given.get("value", "it"))
    head = HEAD + judge.replace("CLAUSES", given.get("clauses", ""))
    limits = given.get("limits", "budget 4")
    body = f"""
  let alone = judge() on user(q)
  let reply = generate(max_tokens: 12) on user(q) may invoke [judge] {limits} {{ on judge(v) when v == low => keep }}
  let said = for one in reply.invocations limit 4 {{
    keep "{{one.name}} {{one.depth}} {{one.at}} {{one.action}} {{one.value}}"
  }}
  return said + ["{{alone}} {{reply.text}}"]
"""
    path = written(folder, body, "list[str]", head, "q: str, low: bool = true")
    return forced(path, *parts, within=within)


WITHIN: list[tuple[str, str, tuple[Part, ...], list[str]]] = [
    ("bool", "it", (CERTAIN,), ["judge 1", "certainty 2"]),
    ('enum("Y", "N")', 'it == "Y"', (CERTAIN,), ["judge 1", "certainty 2"]),
    ("str", "len(it) > 5", ("So", CERTAIN, ".", 3), ["judge 1", "certainty 2"]),
    ("bool", "it", (CERTAIN, CERTAIN), ["judge 1", "certainty 2", "certainty 2"]),
    ("bool", "it", (), ["judge 1"]),
]


@pytest.mark.parametrize("clauses", ["", "{ on certainty => drop }"])
@pytest.mark.parametrize(("emits", "value", "within", "expected"), WITHIN)
def test_an_intrinsic_calls_another(
    tmp_path: Path, emits: str, value: str, within: tuple[Part, ...], expected: list[str], clauses: str
) -> None:
    given = {"emits": emits, "value": value, "clauses": clauses}
    module = judged(tmp_path, "Paris", "<|hallucination|>", ".", 1, within=within, **given)
    result = module.main(q=QUESTION)
    assert [line.rsplit(" ", 3)[0] for line in result.value[:-1]] == expected
    rows = result.trace["reply"].calls
    assert [row.depth for row in rows if row.id.endswith("certainty")] == [2] * (len(expected) - 1)
    assert [row.depth for row in result.trace["alone"].calls if row.depth] == [1] * (len(expected) - 1)
    assert result.trace.kept_promise
    # The innermost finds everything before it in the cache: its invocation's one token is all that it computes.
    inner = [row.actual.prefilled for row in rows if row.depth == 2 and row.adapter == "uncertainty" and row.actual]
    assert set(inner) <= {1, 0}


def test_clauses_of_an_intrinsic_decide_for_it(tmp_path: Path) -> None:
    clauses = "{ on certainty(v) when v >= 0.0 => stop }"
    module = judged(tmp_path, "A", "<|hallucination|>", 1, within=(CERTAIN,), clauses=clauses)
    with pytest.raises(RunFailed, match=r"'alone\' .*the clause for 'certainty' stopped it before there was a bool"):
        module.main(q=QUESTION)


def test_the_budget_and_the_depth_of_the_whole_chain(tmp_path: Path) -> None:
    module = judged(tmp_path, "A", "<|hallucination|>", 1, within=(CERTAIN,), limits="budget 1")
    with pytest.raises(RunFailed, match=r"'reply\' .*budget is spent: 1 of 1 calls made"):
        module.main(q=QUESTION)
    module = judged(tmp_path, "A", "<|hallucination|>", 1, within=(CERTAIN, CERTAIN), clauses="budget 1")
    with pytest.raises(RunFailed, match=r"'alone\' .*budget is spent: 1 of 1 calls made"):
        module.main(q=QUESTION)


def test_recursion_ends_at_its_depth(tmp_path: Path) -> None:
    head = (
        HEAD
        + """
intrinsic judge() -> bool {
  adapter "hallucination" invoke "<|hallucination|>" emits bool may invoke [judge] budget 9 depth 2
}
"""
    )
    path = written(tmp_path, "return judge() on user(q)", "bool", head)
    module = forced(path, within=("<|hallucination|>",))
    with pytest.raises(RunFailed, match="called at depth 3, and 2 is the most: 2 of 9 calls made"):
        module.main(q=QUESTION)
    assert forced(path).main(q=QUESTION).trace.kept_promise


def test_mocks_reach_what_is_called_in_turn(tmp_path: Path) -> None:
    module = judged(tmp_path, within=())
    path = module.compilation.path
    mocks = 'mock generate() = "A" then invoke judge mock judge() = false'
    test = f'{mocks} expect main("?") == ["judge 1 1 keep false", "false A"]'
    path.write_text(f'{path.read_text()}\ntest "t" {{ {test} }}')
    module = Module(Compilation(path))
    [result] = run_tests(module, list(module.compilation.program.tests))
    assert (result.outcome, result.message) == ("passed", "")


def test_a_plan_counts_what_is_called_in_turn(tmp_path: Path) -> None:
    path = judged(tmp_path, within=()).compilation.path
    plan = Compilation(path).plan(Compilation(path).flow("main"), {"q": QUESTION})
    alone, reply = plan.calls
    assert alone.own is not None
    assert reply.own is not None
    assert [call.name for call in alone.own.calls] == ["certainty"]
    assert [call.name for call in reply.own.calls] == ["judge", "certainty"]
    assert (reply.own.budget, reply.own.requests_at_most) == (4, 8)
