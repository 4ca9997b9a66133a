"""A failed expectation shows what was compared, down to the values that it was made of, each once and none unread."""

from __future__ import annotations

from pathlib import Path

import pytest

from alora_flow.module import load
from alora_flow.testing import run_tests
from alora_flow.values.plain import plain

HEAD = """
model base = "mini"
record Item { name: str, size: int }
flow give(n: int = 2) -> list[int] { return [n, n + 1] }
flow made(n: int = 2) -> Item { return Item(name: "ab", size: n) }
flow maybe(n: int = 2) -> int? { if n > 1 { return none }  return n }
flow word(n: int = 2) -> str { return "word" }
flow count(n: int = 2) -> int { return n }
"""

CASES = {
    "len(xs) + 1 == 5": {"len(xs) + 1": 3, "len(xs)": 2, "xs": [2, 3]},
    "xs[k] == 9": {"xs[k]": 3, "k": 1},
    "xs[0] * r.size < r.size": {"xs[0] * r.size": 4, "xs[0]": 2, "r.size": 2},
    'starts_with(r.name, "x")': {'starts_with(r.name, "x")': False, "r.name": "ab"},
    "not (xs[0] == 2)": {"xs[0] == 2": True, "xs[0]": 2},
    "k in [7, k + 3]": {"k": 1, "[7, k + 3]": [7, 4], "k + 3": 4},
    'w == "{k} words"': {"w": "word", '"{k} words"': "1 words", "k": 1},
    "(if k > 3 { k } else { xs[1] }) == 9": {
        "if k > 3 { k } else { xs[1] }": 3,
        "k > 3": False,
        "k": 1,
        "xs[1]": 3,
    },
    "k == 1 and w == r.name": {"k": 1, "w": "word", "r.name": "ab"},
    "k == 2 and xs[7] == 1": {"k": 1},
    "k == 2 or xs[0] == 3": {"k": 1, "xs[0]": 2},
    "o is not none": {"o": None},
    "(o ?? k) == 3": {"o ?? k": 1, "o": None, "k": 1},
    "r == Item(name: w, size: 9)": {
        "r": {"name": "ab", "size": 2},
        "Item(name: w, size: 9)": {"name": "word", "size": 9},
        "w": "word",
    },
    'best([r, r], "size").size < len(sort([r], "name"))': {
        'best([r, r], "size").size': 2,
        'len(sort([r], "name"))': 1,
        'sort([r], "name")': [{"name": "ab", "size": 2}],
        "[r]": [{"name": "ab", "size": 2}],
        "r": {"name": "ab", "size": 2},
    },
    "-k == k": {"-k": -1, "k": 1},
    "count(k) == 2 and count(3) == 3": {"count(k)": 1},
    "count(k) == 1 and (count(2) == 3 or count(3) == 2)": {"count(k)": 1, "count(2)": 2, "count(3)": 3},
    "k > 1 == true": {"k > 1": False, "k": 1},
}


@pytest.mark.parametrize("condition", CASES)
def test_every_operand_is_shown(tmp_path: Path, condition: str) -> None:
    (tmp_path / "f.flow").write_text(
        f'{HEAD}test "t" {{\n  let xs = give()\n  let r = made()\n  let w = word()\n  let o = maybe()\n'
        f"  let k = count(n: 1)\n  expect {condition}\n  expect w == w and k == k and r == r and xs == xs\n}}\n"
    )
    module = load(tmp_path / "f.flow", backend="echo")
    (result,) = run_tests(module, module.compilation.program.tests)
    assert result.outcome == "failed", result.message
    assert {text: plain(value) for text, value in result.values} == CASES[condition]
    assert len(dict(result.values)) == len(result.values)
