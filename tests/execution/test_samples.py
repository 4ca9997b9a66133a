"""`generate(n: 3)`: samples on one prefix, each a call of its own in plan, trace and budget."""

from __future__ import annotations

from pathlib import Path

import pytest

import alora_flow
from alora_flow.errors import BudgetTooSmall
from alora_flow.module import Module

HEAD = 'model base = "mini"\n'
SAMPLED = """
flow drafts(q: str) -> list[str] {
  let drafts = generate(n: 3, temperature: 1.0, seed: 7, max_tokens: 12) on user(q)
  let more = generate(n: 2, temperature: 1.0, max_tokens: 4) on drafts[1]
  return for draft in drafts + more limit 5 { keep draft.text }
}
flow singly(q: str) -> list[str] {
  return for i in range(3) { let d = generate(temperature: 1.0, seed: 7 + i, max_tokens: 12) on user(q)  keep d.text }
}
flow typed(q: str) -> list[float[0.0..1.0]] {
  return generate(n: 2, temperature: 1.0, digits: 1) as float[0.0..1.0] on user(q)
}
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Module:
    path = tmp_path_factory.mktemp("samples") / "samples.flow"
    path.write_text(HEAD + SAMPLED)
    return alora_flow.load(path, seed=3)


def test_the_prompt_is_computed_once(module: Module) -> None:
    module.forget()
    result = module.drafts(q="Who is the mayor of Tarnok?")
    drafts = result.trace.calls[:3]
    assert result.trace.kept_promise
    assert [call.actual.prefilled for call in drafts if call.actual][1:] == [0, 0]
    assert len(result.value) == 5
    assert len(set(result.value[:3])) > 1


def test_each_is_what_a_call_with_its_seed_gives(module: Module) -> None:
    question = "Who is the mayor of Tarnok?"
    assert module.drafts(q=question).value[:3] == module.singly(q=question).value


def test_the_plan_counts_each_before_and_as_the_run_does(module: Module) -> None:
    compilation = module.compilation
    inputs = {"q": "Who is the mayor of Tarnok?"}
    planned = compilation.plan(compilation.flow("drafts"), inputs).calls
    assert [call.node.id for call in planned] == [
        *(f"drafts[{i}].sample" for i in range(3)),
        "more[0].sample",
        "more[1].sample",
    ]
    module.forget()
    ran = module.drafts(**inputs).trace.calls
    assert [call.prefilled.tokens for call in planned[:3]] == [call.actual.prefilled for call in ran[:3] if call.actual]


def test_digits_limit_what_is_written(module: Module) -> None:
    values = module.typed(q="How sure?").value
    assert all(round(value, 1) == value for value in values)


def test_a_budget_counts_each(tmp_path: Path) -> None:
    path = tmp_path / "budget.flow"
    path.write_text(
        HEAD + "flow f(q: str) -> int budget { calls <= 3 } "
        "{ let d = generate(n: 4, temperature: 1.0) on user(q)  return len(d) }"
    )
    with pytest.raises(BudgetTooSmall, match="4 calls"):
        alora_flow.load(path).f(q="a")
