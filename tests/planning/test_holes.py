"""What is not known yet is told apart by what it is, not by how it is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from alora_flow.planning.compilation import Compilation
from alora_flow.planning.prefix.plan import plan

HEAD = """model base = "mini"
enum Kind { red, c }
record P { a: str }
record Q tag "q" { a: str }
flow main(xs: list[str], b: str, n: int, r: P | Q, k: Kind, c: Kind, red: str, d: bool) -> str {
"""
PAIRS = [
    ('join(xs, "b")', "join(xs, b)"),
    ('join(xs, "a")', 'join(xs, "c")'),
    ('replace(b, "x", "{red}")', 'replace(b, "x", "\\{red}")'),
    ('"{k == c}"', '"{k == Kind.c}"'),
    ('"{r is P}"', '"{r is Q}"'),
    ('"{r is P}"', '"{r is not P}"'),
    ('"{not d}"', '"{d}"'),
    ('"{-n}"', '"{n}"'),
    ('"{map(a: b)}"', '"{map(c: b)}"'),
    ('"{P(a: b)}"', '"{Q(a: b)}"'),
    ('match r { P as o => { o.a } Q => { "" } }', 'match r { Q as o => { o.a } P => { "" } }'),
    ("if d { b } else { red }", "if d { red } else { b }"),
    ("first(xs) ?? b", "first(xs) ?? red"),
    ("b[1:]", "b[:1]"),
    ('"{document(b)}"', '"{document(b, title: red)}"'),
    ('"{[n, 1]}"', '"{[n, 10]}"'),
    ('"{str(n == 1)}"', '"{str(n == 1.5)}"'),
]


def reused(folder: Path, one: str, other: str) -> str:
    """What the second of two calls finds in the cache, of `user(one)` and `user(other)`."""
    calls = [f"  let {name} = generate(max_tokens: 1) on user({text})\n" for name, text in (("y", one), ("z", other))]
    (folder / "case.flow").write_text(f"{HEAD}{''.join(calls)}  return y.text + z.text\n}}\n")
    compilation = Compilation(folder / "case.flow")
    return str(plan(compilation.schedule(compilation.flow("main"), {})).calls[1].reused)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_values_that_differ_share_no_plan(one: str, other: str, tmp_path: Path) -> None:
    assert "|" in reused(tmp_path, one, one)
    assert "|" not in reused(tmp_path, one, other)
