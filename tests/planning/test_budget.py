"""Budgets: broken before the run where the worst case is known, in the run otherwise."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alora_flow.backends.echo import open_echo
from alora_flow.errors import BudgetSpent, BudgetTooSmall
from alora_flow.module import Module
from alora_flow.planning.budget import worst_case
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.graph.nodes import Guard

FLOW = """
model base = "mini"
intrinsic safety() -> bool {{ adapter "safety" emits enum("Y", "N") value it == "Y" }}
tool slow() -> str = python "slow:slow"
flow inner(q: str) -> bool {inner} {{ return safety() on user(q) }}
flow main(q: str) -> str {budget} {{
  {slow}
  if inner(q: q) {{ let a = generate(max_tokens: 8) on user(q)  return a.text }}
  let b = generate(max_tokens: 20) on user(q)
  return b.text
}}
"""


def main(folder: Path, budget: str, inner: str = "", slow: str = "") -> Module:
    (folder / "case.flow").write_text(FLOW.format(budget=budget, inner=inner, slow=slow))
    (folder / "slow.py").write_text("import time\ndef slow():\n    time.sleep(9)\n")
    return Module(Compilation(folder / "case.flow"), open_echo)


@pytest.mark.parametrize("budget", ["calls <= 2", "invokes <= 1", "generated <= 21", "tokens <= 9000", "wall <= 9s"])
def test_what_fits_runs(tmp_path: Path, budget: str) -> None:
    assert main(tmp_path, f"budget {{ {budget} }}").flows["main"](q="hello").value


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("calls <= 1", "may spend 2 calls in its worst case, and its budget is 1"),
        ("generated <= 20", "may spend 21 generated .* b 20, a 8"),
        ("tokens <= 25", "may spend .* tokens in its worst case"),
    ],
)
def test_a_worst_case_that_is_known_is_an_error_before_the_run(tmp_path: Path, budget: str, said: str) -> None:
    with pytest.raises(BudgetTooSmall, match=said):
        main(tmp_path, f"budget {{ {budget} }}").flows["main"](q="hello")


def test_an_inlined_flow_has_its_own_budget(tmp_path: Path) -> None:
    assert main(tmp_path, "", "budget { prefill <= 8 }").flows["main"](q="hello").value
    with pytest.raises(BudgetTooSmall, match=r"flow 'inner' may spend 8 prefill .* budget is 7: inner\.safety 8"):
        main(tmp_path, "", "budget { prefill <= 7 }").flows["main"](q="hello")


def test_wall_is_watched_while_a_tool_works(tmp_path: Path) -> None:
    with pytest.raises(BudgetSpent, match=r"flow 'main' spent 0\.\d+ s of its budget of 0\.2"):
        main(tmp_path, "budget { wall <= 200ms }", slow="let s = slow()").flows["main"](q="hello")


guards = st.builds(Guard, st.sampled_from("abc"), st.booleans())
paths = st.lists(guards, max_size=3, unique_by=lambda guard: guard.condition).map(tuple)


@given(st.lists(st.tuples(paths, st.integers(0, 9)), max_size=8))
def test_the_worst_case_is_never_below_any_way_through(amounts: list[tuple[tuple[Guard, ...], int]]) -> None:
    for values in product([True, False], repeat=3):
        holds = dict(zip("abc", values, strict=True))
        spent = sum(amount for path, amount in amounts if all(holds[guard.condition] == guard.holds for guard in path))
        assert spent <= worst_case(amounts)
