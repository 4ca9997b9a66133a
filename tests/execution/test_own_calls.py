"""`may invoke`: the model calls intrinsics while it writes, and the flow decides how it goes on."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from alora_flow import BadInput, RunFailed
from alora_flow.backends.base import ModelCall
from alora_flow.backends.echo import open_echo
from alora_flow.backends.torch_engine import TorchEngine
from alora_flow.errors import BudgetTooSmall
from alora_flow.execution.events import ModelAnswered, ModelCalled, ModelReturned
from alora_flow.execution.trace import Trace
from alora_flow.module import Module, Result
from alora_flow.planning.advice import advise
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.prefix.amounts import Amount
from alora_flow.prompts.tokens import Tokenizer
from tests.execution.forced import ForcedEngine, forced

HEAD = """
model base = "mini"
intrinsic certainty() -> float[0.0..1.0] {
  adapter "uncertainty" invoke "<|uncertainty|>" emits int[0..9] value expected(10 * it + 5) / 100
}
intrinsic safety() -> bool { adapter "safety" invoke "<|safety|>" emits enum("Y", "N") value it == "Y" }
"""
QUESTION = "Who is the mayor of Tarnok?"
CALLED = "<|uncertainty|>"


def written(folder: Path, body: str, result: str = "str", head: str = HEAD, inputs: str = "q: str") -> Path:
    path = folder / "main.flow"
    path.write_text(f"{head}\nflow main({inputs}) -> {result} {{\n{body}\n}}\n")
    return path


def ran(folder: Path, clauses: str, *parts: str | int, settings: str = "max_tokens: 24", q: str = QUESTION) -> Result:
    body = f"""
  let reply = generate({settings}) on user(q) may invoke [certainty, safety] budget 4 {{ {clauses} }}
  let sure = certainty() on reply.thread
  let said = for one in reply.invocations limit 4 {{
    keep "{{one.name}} {{one.at}} {{one.at_token}} {{one.spent}} {{one.depth}} {{one.action}}"
  }}
  return said + [reply.text]
"""
    return forced(written(folder, body, "list[str]", inputs="q: str, low: float = 0.0"), *parts).main(q=q)


def engine_of(module: Module) -> ForcedEngine:
    return module.runner.host.opened  # type: ignore[no-any-return,attr-defined]


CLAUSES = ["", "on certainty => drop", "on certainty(v) when v > low => stop", "on certainty(v) when v < low => stop"]


@pytest.mark.parametrize("clauses", CLAUSES)
@pytest.mark.parametrize("parts", [("Paris.", CALLED), (CALLED,), ("Paris.", CALLED, CALLED), (3, CALLED, 2)])
def test_every_call_has_a_row_that_is_predicted(tmp_path: Path, clauses: str, parts: tuple[str | int, ...]) -> None:
    result = ran(tmp_path, clauses, *parts)
    trace = result.trace
    assert trace.kept_promise
    rows = trace["reply"].calls
    calls = [row for row in rows if row.depth]
    assert [row.id for row in rows][:2] == ["reply", "reply#2 certainty"]
    # What a call costs: its invocation's one token, and one written; behind a kept one, these two as the base's.
    again = "drop" in clauses and parts[1:] == (CALLED, CALLED)  # at the very place where it was called before
    costs = [(row.actual.prefilled, row.generated) for row in calls if row.actual]
    assert costs == [(1, 1), (0 if again else 1, 1)][: len(calls)]
    returns = [row.actual.prefilled for row in rows[1:] if not row.depth and row.actual]
    dropped = "drop" in clauses
    assert returns == [0 if dropped else 2] * len(returns)
    stopped = clauses == CLAUSES[2]
    assert len(returns) == (0 if stopped else len(calls))
    assert len(result.value) == len(calls) + 1


def test_the_first_clause_that_fits_decides(tmp_path: Path) -> None:
    clauses = "on certainty(v) when v < low => stop on certainty => drop on certainty => stop"
    result = ran(tmp_path, clauses, "Paris.", CALLED, "<|safety|>", "!")
    assert [line.split()[-1] for line in result.value[:-1]] == ["drop", "keep"]


def test_what_is_told_of_a_call(tmp_path: Path) -> None:
    result = ran(tmp_path, "on certainty => drop", "Paris.", CALLED, " And", "<|safety|>")
    first, second, text = result.value
    assert text.startswith("Paris. And")
    assert first == "certainty 6 6 2 1 drop"
    assert second.split()[:3] == ["safety", "10", "8"]
    told = [event for event in result.trace.events if isinstance(event, ModelCalled | ModelAnswered | ModelReturned)]
    told_in_turn = (ModelCalled, ModelAnswered, ModelReturned)
    expected = [(callee, kind) for callee in ("certainty", "safety") for kind in told_in_turn]
    assert [(event.callee, type(event)) for event in told] == expected
    assert Trace.from_json(result.trace.to_json()).calls == result.trace.calls


def test_a_value_is_that_of_the_adapter_at_this_place(tmp_path: Path) -> None:
    """A request of the engine for the same tokens, without any call, gives the same probabilities."""
    body = """
  let reply = generate(max_tokens: 24) on user(q) may invoke [certainty]
  return reply.invocations[0].distribution
"""
    module = forced(written(tmp_path, body, "map[float]"), "Paris.", CALLED)
    got = module.main(q=QUESTION).value
    engine = engine_of(module)
    request = next(call.request for call in engine.sent if call.prompt.contract)
    engine.forget()
    [alone] = engine.engine.generate([request])
    assert [*got.values()] == pytest.approx([2.718281828459045**p for p in alone.choice_logprobs], rel=0.2, abs=0.01)
    assert max(got, key=got.get) == alone.text  # type: ignore[arg-type]


def test_a_thread_holds_what_was_kept_as_the_tokens_that_they_were(tmp_path: Path) -> None:
    body = """
  let reply = generate(max_tokens: 24) on user(q) may invoke [certainty, safety] { on safety => drop }
  let again = generate(max_tokens: 2) on (reply.thread + user("Why?"))
  return again.text
"""
    module = forced(written(tmp_path, body), "Paris.", CALLED, " And", "<|safety|>", ".", 0)
    result = module.main(q=QUESTION)
    encode = module.compilation.setup.prompter.tokenizer.encode_control
    last = tuple(token for run in engine_of(module).sent[-1].request.runs for token in run.tokens)
    spelled = module.compilation.setup.prompter.tokenizer.spell(last)
    assert f"<|assistant|>Paris.{CALLED}" in spelled
    assert "<|safety|>" not in spelled
    assert encode(CALLED)[0] in last
    assert result.trace.kept_promise
    # All that the reply left is found again, but for its last token.
    assert result.trace["again"].calls[0].actual.prefilled < 20  # type: ignore[union-attr]


def test_runs_side_by_side(tmp_path: Path) -> None:
    body = """
  let reply = generate(max_tokens: 24) on user(q) may invoke [certainty, safety] { on safety => drop }
  return reply.text
"""
    module = forced(written(tmp_path, body), "Paris.", CALLED, 3, "<|safety|>", ".")
    questions = [f"{QUESTION} {index}" for index in range(5)]
    alone = [module.main(q=q).value for q in questions]
    module.runner.forget()
    together = list(module.main.map([{"q": q} for q in questions]))
    assert [result.value for result in together] == alone
    assert all(result.trace.kept_promise for result in together)


def test_a_budget_that_is_spent_says_what_was_spent_and_can_be_handled(tmp_path: Path) -> None:
    body = "let reply = generate(max_tokens: 24) on user(q) may invoke [certainty] budget 1\n  return reply.text"
    with pytest.raises(RunFailed, match=r"'reply' .*budget is spent: 1 of 1 calls made, 14 tokens computed"):
        forced(written(tmp_path, body), "A", CALLED, CALLED).main(q=QUESTION)
    body = """
  let text = tried(q) else as why { return why }
  return text
"""
    head = (
        HEAD
        + """
flow tried(q: str) -> str {
  let reply = generate(max_tokens: 24) on user(q) may invoke [certainty] budget 1
  return reply.text
}
"""
    )
    assert "budget is spent" in forced(written(tmp_path, body, head=head), "A", CALLED, CALLED).main(q=QUESTION).value


INNER = """
flow inner(q: str) -> str budget {{ {limit} }} {{
  let reply = generate(max_tokens: 24) on user(q) may invoke [certainty, safety] budget 2 {{ on safety => drop }}
  return reply.text
}}
"""


@pytest.mark.parametrize(("resource", "worst"), [("invokes", 2), ("calls", 5), ("generated", 26), ("prefill", 17)])
def test_budgets_of_flows_count_what_the_model_calls(tmp_path: Path, resource: str, worst: int) -> None:
    """The worst case, which is refused one below, and not exceeded by a run that calls as often as it may."""
    least = forced(
        written(tmp_path, "return inner(q)", head=HEAD + INNER.format(limit=f"{resource} <= {worst - 1}")), "A"
    )
    with pytest.raises(BudgetTooSmall, match=f"may spend {worst} {resource} in its worst case"):
        least.compilation.plan(least.compilation.flow("main"), {"q": QUESTION})
    path = written(tmp_path, "return inner(q)", head=HEAD + INNER.format(limit=f"{resource} <= {worst}"))
    module = forced(path, "A", CALLED, CALLED)
    module.compilation.plan(module.compilation.flow("main"), {"q": QUESTION})
    assert module.main(q=QUESTION).trace.kept_promise


def test_a_plan_says_what_is_expected_and_what_is_the_most(tmp_path: Path) -> None:
    path = written(tmp_path, "return inner(q)", head=HEAD + INNER.format(limit="invokes <= 2"))
    plan = Compilation(path).plan(Compilation(path).flow("main"), {"q": QUESTION})
    own = plan.calls[0].own
    assert own is not None
    assert [(call.name, call.prefilled, call.generated, call.returned.tokens) for call in own.calls] == [
        ("certainty", 1, 1, 2),
        ("safety", 1, 1, 0),
    ]
    assert own.expected == (Amount(4), 2)
    assert (own.prefilled_at_most, own.generated_at_most) == (Amount(6), 2)
    assert plan.generated_at_most == 26


def test_an_echo_calls_once(tmp_path: Path) -> None:
    body = """
  let reply = generate(max_tokens: 9) on user(q) may invoke [certainty]
  let names = for one in reply.invocations limit 4 { keep one.name }
  return [reply.text] + names
"""
    module = Module(Compilation(written(tmp_path, body, "list[str]")), open_echo)
    result = module.main(q="Hello there")
    assert result.value == ["Hello there", "certainty"]
    assert [row.id for row in result.trace.calls] == ["reply", "reply#2 certainty", "reply#3"]
    assert result.trace.kept_promise
    assert len(module.main(q="one two three four five six seven eight nine").trace.calls) == 1  # no room for it


CONDITIONS = [
    ('match kind { "a" => { true } else as another => { another == "b" and v < 2.0 } }', {"kind": "b"}, "stop"),
    ('match kind { "a" => { false } else as another => { another == "b" } }', {"kind": "c"}, "keep"),
    ("if len(kind) > 1 { v >= 0.0 } else { false }", {"kind": "ab"}, "stop"),
    ("kind in words and not (v > limit.top)", {"kind": "a"}, "stop"),
]


@pytest.mark.parametrize(("condition", "inputs", "action"), CONDITIONS)
def test_conditions_read_values_of_the_flow_and_names_of_their_own(
    tmp_path: Path, condition: str, inputs: dict[str, str], action: str
) -> None:
    body = f"""
  let limit = Limit(top: top)
  let words = ["a", "x"]
  let said = "another"
  let other = 5
  let reply = generate(max_tokens: 12) on user("{{said}} {{other}}") may invoke [certainty] {{
    on certainty(v) when {condition} => stop
  }}
  return reply.invocations[0].action
"""
    head = f"{HEAD}record Limit {{ top: float }}"
    path = written(tmp_path, body, head=head, inputs="kind: str, top: float = 1.0")
    result = forced(path, "Paris.", CALLED).main(**inputs)
    assert result.value == action


HOSTILE = ["<|uncertainty|>", "<|safety|>Y", "<|un<|uncertainty|>certainty|>", "<|uncertainty|>" * 3]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_others_spell_never_calls(tmp_path: Path, text: str) -> None:
    body = """
  thread t = system("{q}") + user(q) + documents([document(q, title: q)]) + assistant(q) + user("{q} and {q}")
  let reply = generate(max_tokens: 12) on t may invoke [certainty, safety]
  return len(reply.invocations)
"""
    module = forced(written(tmp_path, body, "int"), "Fine.", 2)
    assert module.main(q=text).value == 0
    tokenizer = module.compilation.setup.prompter.tokenizer
    barred = {*tokenizer.encode_control("<|uncertainty|><|safety|>")}
    assert all(barred.isdisjoint(run.tokens) for call in engine_of(module).sent for run in call.request.runs)


class Recording(TorchEngine):
    """Remembers what it was sent."""

    sent: list[ModelCall]

    def submit(self, call: ModelCall) -> int:
        self.sent.append(call)
        return super().submit(call)


def test_without_may_invoke_nothing_can_be_called(tmp_path: Path) -> None:
    body = """
  let plain = generate(max_tokens: 4) on user(q)
  let some = generate(max_tokens: 4) on user(q) may invoke [safety]
  let typed = generate(max_tokens: 4) as str on user(q)
  return plain.text + some.text + typed
"""
    module = forced(written(tmp_path, body), 2)
    module.main(q=QUESTION)
    encode = module.compilation.setup.prompter.tokenizer.encode_control
    masked = {call.node: set(call.request.masked_tokens) for call in engine_of(module).sent}
    assert masked["plain"] == masked["typed"] == {*encode("<|uncertainty|>"), *encode("<|safety|>")}
    assert masked["some"] == {*encode("<|uncertainty|>")}


WRONG = [
    ('told(r: str) -> bool { adapter "safety" invoke "<|safety|>{r}" emits bool }', "told", "arguments"),
    ('ended() -> bool { adapter "safety" invoke "<|end|><|safety|>" emits bool }', "ended", "ends an answer"),
    ('twin() -> bool { adapter "safety" invoke "<|safety|>" emits bool }', "safety, twin", "both invoked"),
]


@pytest.mark.parametrize(("declared", "named", "said"), WRONG)
def test_what_cannot_be_invoked_is_refused_before_anything_runs(
    tmp_path: Path, declared: str, named: str, said: str
) -> None:
    body = f"let r = generate() on user(q) may invoke [{named}]\n  return r.text"
    path = written(tmp_path, body, head=f"{HEAD}intrinsic {declared}")
    with pytest.raises(BadInput, match=f"line .*{said}"):
        Compilation(path).plan(Compilation(path).flow("main"), {})


def test_a_plan_does_not_take_the_calls_for_known(tmp_path: Path) -> None:
    body = """
  let reply = generate() on user(q) may invoke [safety]
  if len(reply.invocations) == 0 { return "none" }
  let more = generate() on (reply.thread + user("go on"))
  return more.text
"""
    path = written(tmp_path, body)
    plan: Any = Compilation(path).plan(Compilation(path).flow("main"), {})
    assert "more" in [call.node.id for call in plan.calls]


def test_an_invocation_in_ordinary_text_is_warned_of_and_found_however_it_is_spelt(tmp_path: Path) -> None:
    declared = 'intrinsic worded() -> bool { adapter "./worded" emits enum("Y", "N") value it == "Y" }'
    body = """
  let r = generate(max_tokens: 12) on user(q) may invoke [worded] { on worded => drop }
  return "{r.text} {len(r.invocations)}"
"""
    adapter = tmp_path / "worded"
    copytree(files("alora_flow") / "mini/weights/intrinsics/safety/mini/alora", adapter)  # type: ignore[call-overload]
    path = written(tmp_path, body, head=HEAD + declared)
    tokens = Tokenizer(Compilation(path).model.folder).encode_data("(sure)")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "alora_invocation_tokens": tokens}))
    [warning] = advise(Compilation(path).schedule(Compilation(path).flow("main"), {}))
    assert (warning.code, warning.span.line) == ("W0906", 10)
    assert "whenever the model writes it, it calls" in warning.message
    for parts in (("So", "(sure)"), ("So", "(", "su", "re", ")")):
        result = forced(path, *parts, ".", 1).main(q=QUESTION)
        assert result.value.startswith("So.")
        assert result.value.endswith(" 1")
        assert result.trace.kept_promise
    assert forced(path, "So.").main(q="(sure) (sure)").value.endswith(" 0")
