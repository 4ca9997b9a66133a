"""Lists whose length is known need no limit, by whatever name they go."""

from __future__ import annotations

import pytest

from alora_flow.language import check

KNOWN = [
    "let xs = [1, 2]",
    "let xs = range(2)",
    "let ys = [1, 2]\n  let xs = reverse(ys)",
    "let ys = range(3)\n  let xs = ys",
    "let xs = generate(n: 2, temperature: 0.8) on user(q)",
    "let xs = zip(given, [1, 2])",
]


@pytest.mark.parametrize("bound", KNOWN)
def test_a_name_for_a_list_of_known_length_needs_no_limit(bound: str) -> None:
    program, found = check(flow(bound))
    assert not found
    assert program is not None


@pytest.mark.parametrize("bound", ["let xs = given", "let ys = given\n  let xs = ys", "let xs = range(len(given))"])
def test_one_of_another_does(bound: str) -> None:
    assert [item.code for item in check(flow(bound))[1]] == ["E0605"]


def flow(bound: str) -> str:
    loop = "for _x in xs { keep len(given) + len(q) }"
    return f"flow f(q: str, given: list[int]) -> list[int] {{\n  {bound}\n  return {loop}\n}}\n"
