"""What expressions come to, held against Python: each row is a flow's body, its result type, and the value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alora_flow import BadInput, RunFailed
from alora_flow.backends.echo import open_echo
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation

HEAD = """
model base = "mini"
record Q { t: str? }
record P { s: str?, q: Q?, qs: list[Q] }
record Cat tag "cat" { name: str }
record Dog tag "dog" { name: str }
type Twice = int?
record Box { size: int }
record Two { first: Cat | Dog, second: Cat | Dog }
record Tagged { tags: map[str] = map(k: "v") }
flow tagged(v: str) -> Tagged | map[int] { if v == "" { return map(a: 1) }  return Tagged(tags: map(k: v)) }
enum Said { yes = "Yes, it is", no }
const WORDS = ["a", "b", "c", "d"]
const YS: list[int] = [1, 2, 3]
flow later(a: int = 1, b: int?, c: int = 2) -> int { return a + (b ?? 10) + c }
flow for_all(xs: list[int]?) -> list[int] { return xs ?? YS }
"""

Row = tuple[str, str, Any]

LISTS_OF_LITERALS: list[Row] = [
    ("return sum([1, 2])", "int", 3),
    ("return sum(YS)", "int", 6),
    ("return [1, 2][0] + 1", "int[2..3]", 2),
    ("return mean([0.5, 1.5])", "float[0.5..1.5]", 1.0),
    ("let xs = for i in [10, 20] { keep i * 2 }  return sum(xs)", "int", 60),
    ("return sum([1, 0.5])", "float", 1.5),
    ("return [[1, 2], [], [3]][2][0] + 1", "int", 4),
    ("return ([1] + [2, 7])[2] * 2", "int", 14),
    ("let xs: list[int[0..1] | int[5..9]] = [0, 6]  return len(xs)", "int", 2),
    ("let none_here: int? = none  return (none_here ?? 4) + 1", "int", 5),
]


GIVEN = 'let p = P(s: "ab", q: Q(t: "c"), qs: [Q(t: "def")])  '
NARROWED: list[Row] = [
    (GIVEN + "if p.s is none { return 0 }  return len(p.s)", "int", 2),
    (GIVEN + "if p.q is none or p.q.t == none { return 0 }  return len(p.q.t)", "int", 1),
    (GIVEN + "if p.qs[0].t is not none { return len(p.qs[0].t) }  return 0", "int", 3),
    (GIVEN + 'require p.s == "ab"  return len(p.s)', "int", 2),
    (GIVEN + "match p.s { none => { return 0 }  str => { return len(p.s) } }", "int", 2),
    (GIVEN + "if p.q is not none and p.q.t is not none and len(p.q.t) == 1 { return 5 }  return 0", "int", 5),
]

CHOICES: list[Row] = [
    ('let n = 3  return if n > 4 { "many" } else if n > 2 { "some" } else { "few" }', "str", "some"),
    ("return (if 1 > len(YS) { 1 } else { 2.5 }) + 1", "float", 3.5),
    (GIVEN + "return if p.s is none { 0 } else { len(p.s) }", "int", 2),
    (GIVEN + "return match p.s { none => { 0 } str as s => { len(s) + 1 } }", "int", 3),
    ("let xs: list[int] = []  return if len(xs) > 0 { xs[0] } else { -1 }", "int", -1),
    ("let xs: list[int] = []  return len(xs) > 0 and (if xs[0] > 1 { true } else { false })", "bool", False),
    ('return match YS[1] { 1 => { "a" } 2, 3 => { "b" } else => { "c" } }', "str", "b"),
    ('thread t = if len(YS) > 5 { user("a") } else { user("b") + assistant("c") }  return len(t.chat)', "int", 2),
    ("return [if 1 == len(YS) { 1 } else { 2 }, 5]", "list[int]", [2, 5]),
    ("let xs = for y in YS limit 3 { keep if y % 2 == 0 { y } else { -y } }  return xs", "list[int]", [-1, 2, -3]),
]

WORDS = ["a", "bb", "ccc"]
ENDS = ("", "0", "1", "2", "9", "-1", "-2", "-9")
SLICES: list[Row] = [
    (f"let w = {json.dumps(taken, ensure_ascii=False)}  return w[{start}:{stop}]", type, eval(f"taken[{start}:{stop}]"))
    for type, taken in (("str", "häuser"), ("list[str]", WORDS))
    for start in ENDS
    for stop in ENDS
]
BUILTINS: list[Row] = [
    ('return "a" not in "abc" or 3 not in [1, 2]', "bool", True),
    ("return for e in enumerate(YS) { keep e.index * e.value }", "list[int]", [0, 2, 6]),
    ('return for e in zip(YS, ["a", "b"]) { keep "{e.first}{e.second}" }', "list[str]", ["1a", "2b"]),
    ('return "{enumerate(YS)[1]} {zip(YS, YS)[0]}"', "str", '{"index":1,"value":2} {"first":1,"second":1}'),
    ("return sort([3, 1, 2])", "list[int]", [1, 2, 3]),
    ('return reverse(sort(["b", "a"]))', "list[str]", ["b", "a"]),
    ('return for c in sort([Cat("b"), Cat("a")], "name") { keep c.name }', "list[str]", ["a", "b"]),
    ('let p = P(qs: [])  return if p.s is none { "none" } else { p.s }', "str", "none"),
    ("return sum(for_all())", "int", 6),
    ("return [later(), later(2, 3), later(c: 0)]", "list[int]", [13, 7, 11]),
    ('let s: Said = yes  return "{s} {[s, Said.no]}"', "str", 'Yes, it is ["Yes, it is","no"]'),
    ("let s: Said = yes  return match s { yes => { 1 } no => { 2 } }", "int", 1),
    ('let s = generate() as Said on user("?")  return s == yes or s == no', "bool", True),
]
MAPS: list[Row] = [
    ('let m = map(a: "x", b: "y")  return m["a"] ?? "none"', "str", "x"),
    ('let m: map[str] = map()  return m["a"]', "str?", None),
    (
        'let m = map(zip(["a b", "c"], [1, 2]))  return "{keys(m)} {values(m)} {m}"',
        "str",
        '["a b","c"] [1,2] {"a b":1,"c":2}',
    ),
    ('let m = map(a: 1)  return "a" in m and "b" not in m and len(m) == 1', "bool", True),
    ('let m = map(a: 1)  return if m["a"] is none { 0 } else { m["a"] + 1 }', "int", 2),
    ("return Tagged().tags", "map[str]", {"k": "v"}),
    ('return Tagged(tags: map(a: "{1}")) == Tagged(tags: map(a: "1"))', "bool", True),
    ('let m = generate() as map[str] on user("?")  return m', "map[str]", {}),
    ('return match tagged("x") { Tagged as t => { t.tags["k"] ?? "" } map[int] => { "ints" } }', "str", "x"),
]

AS_DECLARED: list[Row] = [
    ("return 1", "float", 1.0),
    ("return [1, 2.5]", "list[float]", [1.0, 2.5]),
    ("return map(a: 1, b: 2.5)", "map[float]", {"a": 1.0, "b": 2.5}),
    ('let x: float = 1  return "{x} " + str(x)', "str", "1.0 1.0"),
    ('return str(min(1, 2.5)) + " {min(1, 2.5)}"', "str", "1.0 1.0"),
    ("return str(Said.yes) + str([Said.yes])", "str", 'Yes, it is["Yes, it is"]'),
]
MEMBERS: list[Row] = [
    ("let s: Said = yes  return s in [yes, Said.no] and s not in [no]", "bool", True),
    ('let m: map[Said] = map(a: yes)  return "{m}"', "str", '{"a":"Yes, it is"}'),
    ('return for c in sort([Cat("b"), Cat("a")], by: "name") { keep c.name }', "list[str]", ["a", "b"]),
    ('return best([Box(1), Box(3)], by: "size").size', "int", 3),
    ('return match YS[0] - 3 { -1 => { "a" } -2, 0 => { "b" } else => { "c" } }', "str", "b"),
    ("let x = first([none, 2])  return if x is none { 1 } else { x + 1 }", "int", 1),
    ('let m = map(a: 2, b: none)  return if m["a"] is none { 1 } else { m["a"] + 1 }', "int", 3),
    ("let x: Twice? = 3  return (x ?? 1) + 1", "int", 4),
    ("let x: float = 0 - 1.5  match x { -1.5 => { return 1 } else => { return 2 } }", "int", 1),
]


def run(folder: Path, rows: list[Row]) -> list[Any]:
    flows = [f"flow f{at}() -> {type} {{ {body} }}" for at, (body, type, _) in enumerate(rows)]
    path = folder / "values.flow"
    path.write_text(HEAD + "\n".join(flows))
    module = Module(Compilation(path), open_echo)
    return [module.flows[f"f{at}"]().value for at in range(len(rows))]


def test_a_tag_says_which_record_data_are(tmp_path: Path) -> None:
    path = tmp_path / "tags.flow"
    body = 'match two.first { Cat => { return "cat {two}" }  Dog => { return "dog {two}" } }'
    path.write_text(HEAD + f"flow shown(two: Two) -> str {{ {body} }}")
    shown = Module(Compilation(path), open_echo).flows["shown"]
    data = {"first": {"tag": "dog", "name": "x"}, "second": {"tag": "cat", "name": "x"}}
    assert shown(two=data).value == "dog " + json.dumps(data, separators=(",", ":"))
    with pytest.raises(BadInput):
        shown(two={"first": {"name": "x"}, "second": {"name": "x"}})


TABLES = {
    "lists of literals": LISTS_OF_LITERALS,
    "narrowed fields": NARROWED,
    "choices": CHOICES,
    "slices": SLICES,
    "builtins": BUILTINS,
    "maps": MAPS,
    "as declared": AS_DECLARED,
    "members": MEMBERS,
}


@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES)
def test_values(tmp_path: Path, rows: list[Row]) -> None:
    wanted = [value for _, _, value in rows]
    found = run(tmp_path, rows)
    assert (found, repr(found)) == (wanted, repr(wanted))  # 1 equals 1.0


TOO_LARGE = ["x * x", "-(x * x)", "sum([x, x])", "x / (1 / x)", "mean([x, x])"]


@pytest.mark.parametrize("body", TOO_LARGE)
def test_no_number_is_infinite(tmp_path: Path, body: str) -> None:
    path = tmp_path / "large.flow"
    path.write_text(
        f"flow large(x: float) -> float {{ return {body} else {{ 0.5 }} }}\n"
        f'flow shown(x: float) -> str {{ return "{{{body}}}" }}'
    )
    flows = Module(Compilation(path), open_echo).flows
    assert flows["large"](x=1e308).value == 0.5
    with pytest.raises(RunFailed, match="too large"):
        flows["shown"](x=1e308)


def test_no_range_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.flow"
    path.write_text("flow many(n: int) -> int { return len(range(n)) }")
    with pytest.raises(RunFailed, match="10000000000 numbers are more"):
        Module(Compilation(path), open_echo).flows["many"](n=10**10)


def test_a_tool_takes_floats_where_it_is_declared_to(tmp_path: Path) -> None:
    (tmp_path / "seen.py").write_text("def seen(x, xs): return repr((x, xs))")
    path = tmp_path / "seen.flow"
    path.write_text(
        'tool seen(x: float, xs: list[float?]) -> str = python "seen:seen"\n'
        "flow f() -> str { return seen(1, [1, none, 2.5]) }"
    )
    assert Module(Compilation(path), open_echo).flows["f"]().value == "(1.0, [1.0, None, 2.5])"


def test_a_strict_limit_refuses_longer_lists(tmp_path: Path) -> None:
    path = tmp_path / "strict.flow"
    path.write_text(
        HEAD + "flow twice(xs: list[int]) -> list[int] { return for x in xs limit 2 strict { keep x * 2 } }"
    )
    twice = Module(Compilation(path), open_echo).flows["twice"]
    assert twice(xs=[1, 2]).value == [2, 4]
    with pytest.raises(RunFailed, match="3 elements are more than the limit of 2"):
        twice(xs=[1, 2, 3])


def test_what_may_be_none_need_not_be_given(tmp_path: Path) -> None:
    path = tmp_path / "optional.flow"
    path.write_text(HEAD + "flow main(p: P, q: str?) -> bool { return p.s is none and q is none }")
    assert Module(Compilation(path), open_echo).flows["main"](p={"qs": []}).value
