"""Tools that an intrinsic invokes: its adapter writes the arguments, reads the result, and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from alora_flow import BadInput, RunFailed
from alora_flow.errors import BudgetTooSmall
from alora_flow.execution.events import ModelAnswered, ModelCalled
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.testing import run_tests
from alora_flow.views.amounts import Notation
from tests.execution.forced import Part, forced
from tests.execution.test_own_calls import HEAD, QUESTION, engine_of, written

CALLED, JUDGE = "<|reserved_0|>", "<|hallucination|>"
DECLARED = """
tool look(n: int[0..99]) -> str = python "kb:look" with (SETTINGS invoke: "<|reserved_0|>")
intrinsic judge() -> TYPE with (max_tokens: 8) { adapter "hallucination" emits TYPE may invoke [look] INNER }
"""
KB = "asked = []\ndef look(n):\n    asked.append(n)\n    return f'<|hallucination|> It is {n}.'\n"
BODY = """
  let alone = judge() on user(q)
  let reply = generate(max_tokens: 12) on user(q) may invoke [judge] LIMITS
  let said = for one in reply.invocations limit 4 { keep "{one.name} {one.depth} {one.action} {one.value}" }
  return said + ["{alone}", reply.text]
"""


def made(
    folder: Path, *parts: Part, within: tuple[Part, ...], arguments: tuple[str, ...] = (), kb: str = KB, **given: str
) -> Module:
    (folder / "kb.py").write_text(kb)
    head, body = HEAD + DECLARED, BODY
    for name, text in {"SETTINGS": "pure: true,", "TYPE": "str", "INNER": "", "LIMITS": "budget 4", **given}.items():
        head, body = head.replace(name, text), body.replace(name, text)
    path = written(folder, body, "list[str]", head)
    return forced(path, *parts, within=within, arguments=arguments)


ARGUMENTS = ('{"n": 7}', '{"n": 8}')


@pytest.mark.parametrize("inner", ["", "{ on look => drop }", "{ on look(v) when len(v) > 3 => stop }"])
def test_an_intrinsic_calls_a_tool(tmp_path: Path, inner: str) -> None:
    module = made(tmp_path, "So", JUDGE, ".", within=("It", CALLED, " is"), arguments=ARGUMENTS, INNER=inner)
    result = module.main(q=QUESTION)
    action = {"": "keep", "{ on look => drop }": "drop"}.get(inner, "stop")
    assert result.value[1] == f"look 2 {action} <|hallucination|> It is 8."
    assert result.value[0].startswith("judge 1 keep It is" if action != "stop" else "judge 1 keep It")
    assert result.value[2].startswith("It is" if action != "stop" else "It")
    assert result.trace.kept_promise
    rows = result.trace["alone"].calls
    assert [row.id for row in rows] == ["alone", "alone#2 look", "alone#3"][: 2 if action == "stop" else 3]
    assert [row.adapter for row in rows] == ["hallucination"] * len(rows)
    assert rows[1].actual is not None
    assert rows[1].actual.prefilled == 1  # of the invocation; the arguments are written
    # All of it is the adapter's, from its invocation on; and what the tool said calls nothing and ends nothing.
    setup = module.compilation.setup
    tokenizer, digest = setup.prompter.tokenizer, setup.contracts["judge"].adapter.digest
    went_on = [call.request for call in engine_of(module).sent if call.node == "alone"][-1]
    spelt = [(run.adapter, tokenizer.spell(tuple(run.tokens))) for run in went_on.runs if run.tokens]
    asked = f'It{CALLED}{{"n": 7}}<|end|><|tool_result|><|hallucination|> It is 7.<|end|><|assistant|>'
    left = {"keep": asked, "drop": "It", "stop": f"It{CALLED}"}[action]
    assert spelt[0] == (None, f"<|user|>{QUESTION}<|end|>")
    assert "".join(text for _, text in spelt[1:]) == JUDGE + left
    assert {adapter for adapter, _ in spelt[1:]} == {digest}
    adapted = [token for run in went_on.runs[1:] for token in run.tokens]
    assert adapted.count(tokenizer.encode_control(JUDGE)[0]) == 1


def test_a_typed_intrinsic_goes_on_in_its_grammar(tmp_path: Path) -> None:
    module = made(tmp_path, within=(CALLED,), arguments=ARGUMENTS, TYPE="bool")
    result = module.main(q=QUESTION)
    assert result.value[0] in ("true", "false")
    assert result.trace.kept_promise


def test_events_name_the_tool_and_its_depth(tmp_path: Path) -> None:
    result = made(tmp_path, JUDGE, within=(CALLED,), arguments=ARGUMENTS).main(q=QUESTION)
    told = [event for event in result.trace.events if isinstance(event, ModelCalled | ModelAnswered)]
    inner = [event for event in told if event.node == "reply"]
    assert [(type(event), event.depth) for event in inner] == [
        (ModelCalled, 1),
        (ModelCalled, 2),
        (ModelAnswered, 2),
        (ModelAnswered, 1),
    ]
    assert isinstance(inner[2], ModelAnswered)
    assert (inner[2].arguments, inner[2].value) == ('{"n": 8}', "<|hallucination|> It is 8.")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"INNER": "budget 1"}, r"'look' is called, and the budget .*is spent"),
        ({"LIMITS": "budget 2"}, r"'reply' .*the budget is spent: 2 of 2 calls made"),
    ],
)
def test_limits_hold_for_the_whole_chain(tmp_path: Path, given: dict[str, str], message: str) -> None:
    arguments = ('{"n": 7}', '{"n": 8}') * 2
    module = made(tmp_path, JUDGE, within=(CALLED, CALLED), arguments=arguments, **given)
    with pytest.raises(RunFailed, match=message):
        module.main(q=QUESTION)


FAILING = [
    ("def look(n): raise ValueError('no network')", "", "raised ValueError: no network"),
    ("def look(n): return 5", "", "gave no str"),
    ("import time\ndef look(n): time.sleep(9)", "timeout: 50ms,", "took longer than its timeout"),
]


@pytest.mark.parametrize(("kb", "settings", "message"), FAILING)
def test_tools_that_fail(tmp_path: Path, kb: str, settings: str, message: str) -> None:
    module = made(tmp_path, within=(CALLED,), arguments=ARGUMENTS, kb=kb, SETTINGS=settings)
    with pytest.raises(RunFailed, match=f"'alone' .line [0-9]+. has called 'look': tool 'look' {message}"):
        module.main(q=QUESTION)
    fallback = made(tmp_path, within=(CALLED,), arguments=ARGUMENTS, kb=kb, SETTINGS=f'{settings} fallback: "none",')
    assert fallback.main(q=QUESTION).trace.kept_promise


def test_effects_of_tools_within_intrinsics_keep_their_place(tmp_path: Path) -> None:
    module = made(tmp_path, within=(CALLED,), arguments=ARGUMENTS, SETTINGS="")
    graph = module.compilation.graph(module.compilation.flow("main"))
    assert not graph.nodes["alone"].speculative
    assert module.main(q=QUESTION).trace.kept_promise
    assert module.find_tool(module.compilation.program.tools["look"]).__globals__["asked"] == [7]


def test_the_plan_and_budgets_count_them(tmp_path: Path) -> None:
    path = made(tmp_path, within=()).compilation.path
    alone, reply = Compilation(path).plan(Compilation(path).flow("main"), {"q": QUESTION}).calls
    assert alone.own is not None
    assert reply.own is not None
    assert [(call.name, call.prefilled) for call in alone.own.calls] == [("look", 1)]
    assert str(alone.own.calls[0].returned) == "5 + |look()|"
    assert [call.name for call in reply.own.calls] == ["judge", "look"]
    notation = Notation(Compilation(path).plan(Compilation(path).flow("main"), {"q": QUESTION}))
    assert notation.show(alone.own.calls[0].returned) == "5 + |#1|"
    assert list(notation.explained())[-1] == "#1: look()"
    path.write_text(path.read_text().replace("list[str] {", "list[str] budget { invokes <= 8 } {"))
    with pytest.raises(BudgetTooSmall, match="may spend 9 invokes"):
        Compilation(path).plan(Compilation(path).flow("main"), {"q": QUESTION})


def test_mocks_answer_them(tmp_path: Path) -> None:
    module = made(tmp_path, within=(CALLED,), arguments=ARGUMENTS)
    path = module.compilation.path
    test = 'mock generate() = "A" then invoke judge mock look(n: 7) = "seven" mock look(n: 8) = "eight"'
    path.write_text(f'{path.read_text()}\ntest "t" {{ {test} expect main("?") == [] }}')
    tested: Any = forced(path, within=(CALLED,), arguments=ARGUMENTS)
    [result] = run_tests(tested, list(tested.compilation.program.tests))
    assert result.outcome == "failed"
    assert "look 2 keep eight" in str(result.values)


def test_an_invocation_of_text_is_refused_in_a_typed_answer(tmp_path: Path) -> None:
    path = made(tmp_path, within=(), TYPE="bool").compilation.path
    path.write_text(path.read_text().replace('invoke: "<|reserved_0|>"', 'invoke: "(look)"'))
    with pytest.raises(BadInput, match=r"'look' is invoked by '.look.', which may be part of a typed answer"):
        Compilation(path).plan(Compilation(path).flow("main"), {"q": QUESTION})


def test_what_would_activate_anew_is_refused(tmp_path: Path) -> None:
    """An adapter that is activated by what opens the model's turn: the tokens before would not be its own any more."""
    path = made(tmp_path, within=()).compilation.path
    setup = Compilation(path).setup
    adapter = setup.contracts["judge"].adapter.folder
    copytree(adapter, tmp_path / "opened")
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["alora_invocation_tokens"] = list(setup.prompter.tokenizer.encode_control("<|assistant|>"))
    (tmp_path / "opened" / "adapter_config.json").write_text(json.dumps(config))
    path.write_text(path.read_text().replace('adapter "hallucination"', 'adapter "./opened"'))
    with pytest.raises(
        BadInput, match=r"'judge' cannot invoke 'look': behind the result stands '<.assistant.>'"
    ) as told:
        Compilation(path).plan(Compilation(path).flow("main"), {"q": QUESTION})
    assert told.value.help
