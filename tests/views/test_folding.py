"""Loops and recursions in pictures: one box with its bound, whatever is inside."""

from __future__ import annotations

from pathlib import Path

import pytest

from alora_flow.planning.compilation import Compilation
from alora_flow.views.drawing import Arrow, Drawing
from alora_flow.views.svg import to_svg
from alora_flow.views.table import VIEWS, Subject
from tests.command import warm

HEAD = 'model base = "mini"\nintrinsic safe() -> bool from "safety"\n'
LOOPS = """
flow fact(n: int) -> int max_depth 12 { if n <= 1 { return 1 }  return n * fact(n: n - 1) }
flow main(q: str, docs: list[document]) -> list[str] {
  thread ask = user(q)
  let notes = for d in docs limit 4 {
    let part = repeat (t = ask) up to 4 {
      let r = generate(max_tokens: 8) on (t + documents([d]))
      accept r.text when safe() on r
      next t = t + user("again")
    } else { accept "" }
    keep part when part != ""
  }
  let tries = repeat (n = 1) up to 3 { accept n when n > len(notes)  next n = n + 1 } else { return [] }
  let product = fact(n: tries)
  let drafts = generate(n: 3, temperature: 0.5) on ask
  return notes + ["{product}", drafts[0].text]
}
"""
MEETING = """
flow main(x: int) -> str {
  if x > 1 { if x > 2 { return "large" } }
  return "small"
}
"""


def picture(folder: Path, body: str, unrolled: bool = False) -> Drawing:
    (folder / "case.flow").write_text(HEAD + body)
    compilation = Compilation(folder / "case.flow")
    return Subject(compilation, compilation.flow("main"), unrolled=unrolled).picture


def test_a_loop_is_one_box_with_its_bound(tmp_path: Path) -> None:
    drawn = picture(tmp_path, LOOPS)
    loops = {box.id: box.detail for box in drawn.boxes if box.kind == "loop"}
    assert loops == {
        "notes": "for each of up to 4: generate, safe",
        "tries": "up to 3 rounds",
        "product": "fact, up to 12 deep",
        "drafts": "3 samples: generate",
    }
    assert not [box.id for box in drawn.boxes if "[" in box.id or "." in box.id]
    assert Arrow("ask", "notes", "thread") in drawn.arrows
    assert Arrow("docs", "notes", "data") in drawn.arrows
    assert {arrow.target for arrow in drawn.arrows} | {arrow.source for arrow in drawn.arrows} <= {
        box.id for box in drawn.boxes
    }


def test_it_fits_a_page(tmp_path: Path) -> None:
    folded, whole = (to_svg(picture(tmp_path, LOOPS, unrolled)) for unrolled in (False, True))
    width = [int(text.split('width="')[1].split('"')[0]) for text in (folded, whole)]
    assert width[0] < 1000 < width[1]


def test_where_ways_only_meet_there_is_no_box(tmp_path: Path) -> None:
    drawn = picture(tmp_path, MEETING)
    assert "merge" not in {box.kind for box in drawn.boxes}
    guards = {(arrow.source, arrow.label) for arrow in drawn.arrows if arrow.target == "return_2"}
    assert {("if", "no"), ("if_2", "no")} <= guards
    assert "merge" in {box.kind for box in picture(tmp_path, MEETING, unrolled=True).boxes}


def test_only_what_is_gone_on_from_is_a_thread_arrow(tmp_path: Path) -> None:
    drawn = picture(
        tmp_path,
        'flow main(q: str) -> str { let r = generate() on user(q)  thread t = system("x") + user(r.text)\n'
        "let s = generate() on t  let u = generate() on r  return s.text + u.text }",
    )
    threads = {(arrow.source, arrow.target) for arrow in drawn.arrows if arrow.kind == "thread"}
    assert threads == {("t", "s"), ("r", "u")}
    assert Arrow("r", "t", "data") in drawn.arrows


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("tokens", "1:1\tMODEL\t'model'\n"),
        ("tree", "1:1 File"),
        ("program", "model base"),
        ("graph", "flow main\n"),
        ("schedule", "0  notes[0].part[0].r"),
        ("plan", "main(q: str, docs: list[document])"),
    ],
)
def test_show_prints_every_stage(tmp_path: Path, stage: str, said: str) -> None:
    (tmp_path / "case.flow").write_text(HEAD + LOOPS)
    shown = warm("show", stage, "case.flow", "main", cwd=tmp_path)
    assert (shown.code, shown.stderr) == (0, "")
    assert said in shown.stdout


def test_show_says_what_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "case.flow").write_text(HEAD + LOOPS)
    (tmp_path / "wrong.flow").write_text("flow {")
    assert "did you mean 'graph'?" in warm("show", "graf", "case.flow", cwd=tmp_path).stderr
    assert "'tree' has no JSON form; it has text" in warm("show", "tree", "case.flow", "--json", cwd=tmp_path).stderr
    for stage in ("tokens", "tree", "program"):
        wrong = warm("show", stage, "wrong.flow", cwd=tmp_path)
        assert (wrong.code, "error[E0101]" in wrong.stderr) == (1, True)


def test_a_recursion_of_many_nodes_is_drawn_and_listed_in_short(tmp_path: Path) -> None:
    """fib(12): 8191 calls in 24,570 nodes. The picture has a box for each of its two calls, the list 500 rows."""
    fib = """
flow main(n: int[0..12]) -> int max_depth 12 {
  if n < 2 { return len((generate(max_tokens: 4) on user("{n}")).text) }
  return main(clamp(n - 1, 0, 12)) + main(clamp(n - 2, 0, 12))
}
"""
    drawn = picture(tmp_path, fib)
    assert [box.detail for box in drawn.boxes if box.kind == "loop"] == ["main, up to 11 deep: generate"] * 2
    compilation = Compilation(tmp_path / "case.flow")
    text = VIEWS["plan", "text"](Subject(compilation, compilation.flow("main")))
    assert "more nodes: --json has all" in text
    assert "more calls: --json has all" in text
    assert text.count("\n") < 6000


def test_ways_that_meet_again_and_again_are_drawn_through(tmp_path: Path) -> None:
    """Each merge is hidden; what leads to one leads to all that comes after it."""
    ways = "".join(f"  if x > {n} {{ if x > {n + 1} {{ return {n} }} }}\n" for n in range(4))
    drawn = picture(tmp_path, f"flow main(x: int) -> int {{\n{ways}  return 9\n}}")
    assert not [box for box in drawn.boxes if box.kind == "merge"]
    ids = {box.id for box in drawn.boxes}
    assert {arrow.source for arrow in drawn.arrows} | {arrow.target for arrow in drawn.arrows} <= ids
    assert len(set(drawn.arrows)) == len(drawn.arrows)
