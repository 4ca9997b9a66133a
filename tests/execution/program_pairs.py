"""Random programs, each as a flow file and as the same in Python, which says what its values are.

Every part is made as a pair (flow, Python). Names are bound once in both; what Python has otherwise is in PRELUDE.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import NamedTuple

FLOW_HEAD = """\
enum Kind { red, green = "Green, it is", blue }
record P { a: int, b: str, c: int? = none }
record Cat { name: str, lives: int }
type Pet = Cat | int | none
flow small(n: int, most: int) -> int {
  require n < most else "not small: {n}"
  return n + 1
}
flow any_pet(pet: Pet) -> Pet { return pet }
flow wide(x: float) -> float { return x }
"""
PRELUDE = """\
from dataclasses import dataclass
from enum import Enum
from statistics import fmean
import json

class Kind(str, Enum):
    red = "red"
    green = "Green, it is"
    blue = "blue"

@dataclass(frozen=True)
class P:
    a: int
    b: str
    c: int | None = None

@dataclass(frozen=True)
class Cat:
    name: str
    lives: int

def plain(x):
    if isinstance(x, Enum):
        return x.value
    if isinstance(x, Cat):
        return {"name": x.name, "lives": x.lives}
    if isinstance(x, P):
        return {"a": x.a, "b": x.b, "c": x.c}
    if isinstance(x, dict):
        return {key: plain(item) for key, item in x.items()}
    return [plain(item) for item in x] if isinstance(x, list) else x

def show(x):
    x = plain(x)
    return x if isinstance(x, str) else json.dumps(x, ensure_ascii=False, separators=(",", ":"))

def default(x, other):
    return other() if x is None else x

class Unmet(Exception):
    pass

def require(condition):
    if not condition:
        raise Unmet

def small(n, most):
    if not n < most:
        raise Unmet(f"not small: {n}")
    return n + 1

def attempt(value, other):
    try:
        return value()
    except (ArithmeticError, IndexError, Unmet) as error:
        return other(str(error))

def any_pet(pet):
    return pet

def wide(x):
    return float(x)

def given(record, present, absent):
    return absent() if record is None else present(record)

def by_kind(pet, cat, whole, nothing):
    return cat(pet) if isinstance(pet, Cat) else nothing() if pet is None else whole(pet)
"""
TYPES = ("int", "float", "str", "bool", "list[int]", "list[str]", "int?", "P", "Kind", "map[int]", "Pet")
TYPES += ("list[float]", "list[P]", "list[Kind]", "map[P]", "str?")
WORDS = (
    "",
    "a",
    "Tarnok",
    "x y",
    "häuser",
    "a,b,,c",
    "\U0001f600",
    " pad ",
    "ABC",
    "\\",
    '"quoted"',
    "{brace}",
    "tab\t",
    "1",
    "Stra\u00dfe \u0130",
    "\u2003wide\xa0",
    "e\u0301\u200d",
)
KINDS = ("red", "green", "blue")


class Pair(NamedTuple):
    """The same in both languages."""

    flow: str
    python: str


class Function(NamedTuple):
    name: str
    parameters: tuple[tuple[str, str], ...]
    result: str


class Program(NamedTuple):
    """`main` is called with `inputs`, which have these `types`."""

    flow: str
    python: str
    inputs: dict[str, object]
    types: dict[str, str]


def program(seed: int) -> Program:
    """Up to two flows and `main`, which may call them."""
    return _Maker(Random(seed)).program()


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


class _Maker:
    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.names: list[tuple[str, str]] = []  # (name, type) that may be read here
        self.functions: list[Function] = []
        self.count = 0
        self.loops = 0  # around this place

    # ------------------------------------------------------------- programs

    def program(self) -> Program:
        flow, python = [FLOW_HEAD], [PRELUDE]
        for name in ("one", "two", "main")[self.chance.randrange(3) :]:
            parameters = tuple((self.fresh(), self.chance.choice(TYPES)) for _ in range(self.chance.randint(1, 3)))
            result = self.chance.choice(TYPES)
            self.names = list(parameters)
            flow_body, python_body = self.body(result, self.chance.randint(1, 5))
            shown = ", ".join(f"{name}: {type}" for name, type in parameters)
            flow.append(f"flow {name}({shown}) -> {result} {{\n" + "\n".join(_indented(flow_body)) + "\n}\n")
            python.append(
                f"def {name}({', '.join(item for item, _ in parameters)}):\n" + "\n".join(_indented(python_body)) + "\n"
            )
            self.functions.append(Function(name, parameters, result))
        inputs = {name: self.input(type) for name, type in parameters}
        return Program("\n".join(flow), "\n".join(python), inputs, dict(parameters))

    def input(self, type: str) -> object:
        """A value from outside, as JSON data."""
        chance = self.chance
        made: dict[str, Callable[[], object]] = {
            "int": lambda: chance.randint(-9, 9),
            "float": lambda: chance.choice([-2.5, 0.0, 0.1, 1.0, 3.75]),
            "str": lambda: chance.choice(WORDS),
            "bool": lambda: chance.random() < 0.5,
            "list[int]": lambda: [chance.randint(-5, 5) for _ in range(chance.randrange(4))],
            "list[str]": lambda: [chance.choice(WORDS) for _ in range(chance.randrange(4))],
            "int?": lambda: chance.choice([None, 4]),
            "P": lambda: {"a": chance.randint(-3, 3), "b": chance.choice(WORDS), "c": chance.choice([None, 7])},
            "Kind": lambda: chance.choice(["red", "Green, it is", "blue"]),
            "map[int]": lambda: {chance.choice(WORDS): chance.randint(-5, 5) for _ in range(chance.randrange(3))},
            "list[float]": lambda: [chance.choice([0.5, -1.25, 3.0, 1e20]) for _ in range(chance.randrange(3))],
            "list[P]": lambda: [self.input("P") for _ in range(chance.randrange(3))],
            "list[Kind]": lambda: [self.input("Kind") for _ in range(chance.randrange(3))],
            "map[P]": lambda: {chance.choice(WORDS): self.input("P") for _ in range(chance.randrange(3))},
            "str?": lambda: chance.choice([None, chance.choice(WORDS)]),
            "Pet": lambda: chance.choice([None, 3, {"name": chance.choice(WORDS), "lives": chance.randint(0, 9)}]),
        }
        return made[type]()

    def fresh(self) -> str:
        self.count += 1
        return f"v{self.count}"

    # ------------------------------------------------------------ statements

    def body(self, result: str, length: int) -> tuple[list[str], list[str]]:
        """Statements that end with a return on every path."""
        flow: list[str] = []
        python: list[str] = []
        known = list(self.names)
        for _ in range(length):
            made = self.chance.choice(
                [
                    *(self.let, self.let, self.loop, self.numbered, self.rounds, self.branch, self.choice),
                    *(self.demand, self.attempt, self.attempt, self.kinds),
                ]
            )
            for own, more in zip((flow, python), made(result), strict=True):
                own += more
        value = self.value(result, 3)
        self.names = known
        return [*flow, f"return {value.flow}"], [*python, f"return {value.python}"]

    def bind(self, type: str, value: Pair) -> tuple[list[str], list[str]]:
        """With its type or, sometimes, without."""
        name = self.fresh()
        typed = f": {type}" if self.chance.random() < 0.8 or type == "int?" or "[]" in value.flow else ""
        self.names.append((name, type))
        return [f"let {name}{typed} = {value.flow}"], [f"{name} = {value.python}"]

    def let(self, result: str) -> tuple[list[str], list[str]]:
        type = self.chance.choice(TYPES)
        return self.bind(type, self.value(type, 3))

    def numbered(self, result: str) -> tuple[list[str], list[str]]:
        """`for` over what `enumerate` or `zip` gives."""
        one, other, name, item = self.value("list[str]", 2), self.value("list[int]", 2), self.fresh(), self.fresh()
        flow, python, kept = self.chance.choice(
            [
                (f"enumerate({one.flow})", f"enumerate({one.python})", "{0}.index + len({0}.value)"),
                (f"zip({one.flow}, {other.flow})", f"zip({one.python}, {other.python})", "len({0}.first) - {0}.second"),
            ]
        )
        python_kept = "{0}[0] + len({0}[1])" if "index" in kept else "len({0}[0]) - {0}[1]"
        self.names.append((name, "list[int]"))
        return (
            [f"let {name} = for {item} in {flow} limit 3 {{ keep {kept.format(item)} }}"],
            [f"{name} = [{python_kept.format(item)} for {item} in list({python})[:3]]"],
        )

    def loop(self, result: str) -> tuple[list[str], list[str]]:
        """`for` over a list, with a name bound in it and a condition."""
        element = self.chance.choice(["int", "str"])
        source, kept = self.value(f"list[{element}]", 2), self.chance.choice(["int", "str"])
        limit, known, item = self.chance.randint(1, 4), list(self.names), self.fresh()
        self.names.append((item, element))
        inside = [self.let, self.attempt] if self.loops > 1 else [self.let, self.attempt, self.loop, self.rounds]
        self.loops += 1
        flow, python = self.chance.choice(inside)("")
        self.loops -= 1
        value, condition = self.value(kept, 2), self.value("bool", 2)
        self.names = known
        each = self.fresh()
        inner = [
            f"def {each}({item}):",
            *_indented(python),
            f"    return [{value.python}] if {condition.python} else []",
        ]
        name = self.fresh()
        self.names.append((name, f"list[{kept}]"))
        head = f"let {name}: list[{kept}] = for {item} in {source.flow} limit {limit} {{"
        return (
            [head, *_indented([*flow, f"keep {value.flow} when {condition.flow}"]), "}"],
            [*inner, f"{name} = [kept for item in ({source.python})[:{limit}] for kept in {each}(item)]"],
        )

    def rounds(self, result: str) -> tuple[list[str], list[str]]:
        """`repeat` with one state, whose `else` accepts."""
        type, rounds, known = (
            self.chance.choice(["int", "str", "list[int]"]),
            self.chance.randint(1, 3),
            list(self.names),
        )
        first, last = self.value(type, 2), self.value(type, 2)
        state, name, each = self.fresh(), self.fresh(), self.fresh()
        self.names.append((state, type))
        self.loops += 1
        flow, python = self.chance.choice([self.let, self.loop, self.attempt] if self.loops < 2 else [self.let])("")
        self.loops -= 1
        value, condition, following = self.value(type, 2), self.value("bool", 2), self.value(type, 2)
        self.names = [*known, (name, type)]
        initial = f"start{state}"
        return (
            [
                f"let {initial}: {type} = {first.flow}",
                f"let {name}: {type} = repeat ({state} = {initial}) up to {rounds} {{",
                *_indented([*flow, f"accept {value.flow} when {condition.flow}", f"next {state} = {following.flow}"]),
                f"}} else {{ accept {last.flow} }}",
            ],
            [
                f"def {each}({state}):",
                f"    for _ in range({rounds}):",
                *_indented(_indented([*python, f"if {condition.python}:", f"    return {value.python}"])),
                f"        {state} = {following.python}",
                f"    return {last.python}",
                f"{name} = {each}({first.python})",
            ],
        )

    def branch(self, result: str) -> tuple[list[str], list[str]]:
        """`if` that returns, of what may be none or of any condition."""
        optional = [name for name, type in self.names if type == "int?"]
        if optional and self.chance.random() < 0.5:
            name = self.chance.choice(optional)
            known, self.names = self.names, [item for item in self.names if item[0] != name]
            flow, python = self.body(result, 0)
            self.names = [*self.names, (name, "int")]
            del known
            return [f"if {name} is none {{", *_indented(flow), "}"], [f"if {name} is None:", *_indented(python)]
        condition = self.value("bool", 2)
        flow, python = self.body(result, self.chance.randrange(2))
        return (
            [f"if {condition.flow} {{", *_indented(flow), "}"],
            [f"if {condition.python}:", *_indented(python)],
        )

    def choice(self, result: str) -> tuple[list[str], list[str]]:
        """`match` over an enum, of which some arms return."""
        subject = self.value("Kind", 1)
        name = self.fresh()
        flow, python = [f"let {name}: Kind = {subject.flow}", f"match {name} {{"], [f"{name} = {subject.python}"]
        members = list(KINDS)
        self.chance.shuffle(members)
        cut = self.chance.randint(1, 2)
        for group in (members[:cut], members[cut:]):
            returns = self.chance.random() < 0.5 and group is not members
            inner = self.body(result, 0) if returns else ([], [])
            flow += [f"    {', '.join(group)} => {{", *_indented(_indented(inner[0])), "    }"]
            python += [f"if {name}.name in {group!r}:", *_indented(inner[1] or ["pass"])]
            if returns:
                break
        else:
            return [*flow, "}"], python
        if group == members[:cut]:
            flow.append("    else => { }")
        return [*flow, "}"], python

    def kinds(self, result: str) -> tuple[list[str], list[str]]:
        """`match` over a union, of which one arm returns and the others go on."""
        name, inner, subject, known = self.fresh(), self.fresh(), self.value("Pet", 1), list(self.names)
        tests = {"Cat": "isinstance({0}, Cat)", "int": "isinstance({0}, int)", "none": "{0} is None"}
        flow, python = [f"let {name}: Pet = {subject.flow}"], [f"{name} = {subject.python}"]
        kind = self.chance.choice(list(tests))
        self.names += [(inner, "int")] if kind == "int" else []
        body = self.body(result, self.chance.randrange(2))
        self.names = known
        bound = f"{kind} as {inner}" if kind == "int" else kind
        if self.chance.random() < 0.5 and kind != "int":
            return (
                [*flow, f"if {name} is {kind} {{", *_indented(body[0]), "}"],
                [*python, f"if {tests[kind].format(name)}:", *_indented(body[1])],
            )
        return (
            [
                *flow,
                f"match {name} {{",
                f"    {bound} => {{",
                *_indented(_indented(body[0])),
                "    }",
                "    else => {}",
                "}",
            ],
            [*python, f"if {tests[kind].format(name)}:", f"    {inner} = {name}", *_indented(body[1])],
        )

    def attempt(self, result: str) -> tuple[list[str], list[str]]:
        """A value that may fail, with another one in its place or, outside of loops, a return."""
        one, two = self.value("int", 0), self.value("int", 0)
        type, value = self.chance.choice(
            [
                ("int", Pair(f"small(n: {one.flow}, most: {two.flow})", f"small({one.python}, {two.python})")),
                ("int", Pair(f"({one.flow} % {two.flow})", f"({one.python} % {two.python})")),
                ("float", Pair(f"({one.flow} / {two.flow})", f"({one.python} / {two.python})")),
                ("int", self.both(("list[int]",), 0, f"({{0}})[{self.chance.choice([0, 1, 3, -1, -3])}]")),
            ]
        )
        name, why = self.fresh(), self.fresh()
        known = list(self.names)
        self.names += [(why, "str")] if value.flow.startswith("small") else []
        head = f"let {name}: {type} = {value.flow} else{f' as {why}' if self.names != known else ''} {{"
        if result and self.chance.random() < 0.3:
            flow, python = self.body(result, 0)
            self.names = [*known, (name, type)]
            failed = "(ArithmeticError, IndexError, Unmet)"
            return (
                [head, *_indented(flow), "}"],
                [
                    *("try:", f"    {name} = {value.python}", f"except {failed} as error:", f"    {why} = str(error)"),
                    *_indented(python),
                ],
            )
        other = self.value(type, 2)
        self.names = [*known, (name, type)]
        return (
            [f"{head} {other.flow} }}"],
            [f"{name} = attempt(lambda: {value.python}, lambda {why}: {other.python})"],
        )

    def demand(self, result: str) -> tuple[list[str], list[str]]:
        holds = self.value("bool", 1)
        return [f'require {holds.flow} or {len(self.names)} > 0 else "no"'], [f"require({holds.python} or True)"]

    # ---------------------------------------------------------- expressions

    def value(self, type: str, depth: int) -> Pair:
        """Any value of a type; deeper ones are made of others."""
        names = [name for name, known in self.names if known == type]
        if names and self.chance.random() < (0.4 if depth else 0.8):
            name = self.chance.choice(names)
            return Pair(name, name)
        if depth <= 0:
            return self.literal(type)
        general = [self.if_value, self.match_value, self.call]
        if self.chance.random() < 0.15:
            return self.chance.choice(general)(type, depth - 1)
        return self.chance.choice(self.makers(type))(depth - 1)

    def literal(self, type: str) -> Pair:
        chance = self.chance
        if type == "int":
            number = chance.choice([0, 1, 2, 3, 5, 10, -1, -4])
            return Pair(f"({number})" if number < 0 else str(number), f"({number})")
        if type == "float":
            number = chance.choice(["0.0", "0.5", "1.0", "2.25", "1e3"])
            return Pair(number, number)
        if type == "str":
            word = chance.choice(WORDS)
            return Pair(json.dumps(word, ensure_ascii=False).replace("{", "\\{").replace("}", "\\}"), repr(word))
        if type == "Kind":
            member = chance.choice(KINDS)
            return Pair(f"Kind.{member}", f"Kind.{member}")
        return {
            "bool": lambda: chance.choice([Pair("true", "True"), Pair("false", "False")]),
            "int?": lambda: chance.choice([Pair("none", "None"), Pair("4", "4")]),
            "P": lambda: Pair('P(a: 1, b: "b")', 'P(1, "b")'),
            "Pet": lambda: chance.choice(
                [Pair("none", "None"), Pair("7", "7"), Pair('Cat(name: "Tom", lives: 9)', 'Cat("Tom", 9)')]
            ),
            "map[int]": lambda: chance.choice(
                [Pair("map(a: 1, b: -2)", "{'a': 1, 'b': -2}"), Pair("map(c: 3)", "{'c': 3}")]
            ),
            "list[float]": lambda: chance.choice([Pair("[0.5, 2.0]", "[0.5, 2.0]"), Pair("[1e20]", "[1e20]")]),
            "list[P]": lambda: Pair('[P(a: 2, b: "x"), P(a: 1, b: "y")]', '[P(2, "x"), P(1, "y")]'),
            "list[Kind]": lambda: Pair("[Kind.red, Kind.blue]", "[Kind.red, Kind.blue]"),
            "map[P]": lambda: Pair('map(a: P(a: 1, b: "b"))', '{"a": P(1, "b")}'),
            "str?": lambda: chance.choice([Pair("none", "None"), Pair('"s"', '"s"')]),
            "list[int]": lambda: chance.choice([Pair("[1, 2]", "[1, 2]"), Pair("range(3)", "[0, 1, 2]")]),
            "list[str]": lambda: Pair('["b", "a"]', '["b", "a"]'),
        }[type]()

    def makers(self, type: str) -> list[Callable[[int], Pair]]:
        made = {
            "int": [
                self.arithmetic,
                self.length,
                self.rounded,
                self.extreme,
                self.total,
                self.element,
                self.field,
                self.given,
                self.pet,
                self.numbered_case,
                self.narrowed,
                self.looked_up,
            ],
            "float": [self.quotient, self.as_float, self.average, self.floating, self.widened],
            "str": [self.text, self.joined, self.changed, self.cut, self.named, self.shown],
            "bool": [self.compared, self.inside, self.logical, self.missing, self.tested],
            "list[int]": [self.listed("int"), self.added("int"), self.sliced("int"), self.ordered("int")],
            "list[str]": [self.listed("str"), self.added("str"), self.sliced("str"), self.ordered("str"), self.parted],
            "map[int]": [self.zipped, lambda depth: self.literal("map[int]")],
            "int?": [
                lambda depth: self.both(("int?", "int?"), depth, "first([{0}, {1}])", "[{0}, {1}][0]"),
                self.leading,
                self.found,
                lambda depth: self.value("int", depth),
                lambda depth: self.literal("int?"),
            ],
            "P": [self.record, self.foremost],
            "list[float]": [
                lambda depth: self.both(("float", "float"), depth, "[{0}, {1}]"),
                lambda depth: self.both(("list[float]",) * 2, depth, "({0} + {1})"),
                lambda depth: self.both(("list[float]",), depth, "sort({0})", "sorted({0})"),
                self.sliced("float"),
            ],
            "list[P]": [
                lambda depth: self.both(("P", "P"), depth, "[{0}, {1}]"),
                lambda depth: self.both(("map[P]",), depth, "values({0})", "list(({0}).values())"),
                self.sorted_by,
                self.sliced("P"),
            ],
            "list[Kind]": [
                lambda depth: self.both(("Kind", "Kind"), depth, "[{0}, {1}]"),
                lambda depth: self.both(("list[Kind]",), depth, "reverse({0})", "({0})[::-1]"),
                self.sliced("Kind"),
            ],
            "map[P]": [
                lambda depth: self.both(("P", "P"), depth, "map(x: {0}, y: {1})", "{{'x': {0}, 'y': {1}}}"),
                lambda depth: self.both(("list[str]", "list[P]"), depth, "map(zip({0}, {1}))", "dict(zip({0}, {1}))"),
            ],
            "str?": [
                lambda depth: self.value("str", depth),
                lambda depth: self.both(("list[str]",), depth, "first({0})", "next(iter({0}), None)"),
                lambda depth: self.literal("str?"),
            ],
            "Pet": [self.cat, lambda depth: self.value("int", depth), lambda depth: self.literal("Pet")],
            "Kind": [lambda depth: self.literal("Kind")],
        }
        found: list[Callable[[int], Pair]] = made[type]
        return found

    def if_value(self, type: str, depth: int) -> Pair:
        condition, then, otherwise = self.value("bool", depth), self.value(type, depth), self.value(type, depth)
        return Pair(
            f"(if {condition.flow} {{ {then.flow} }} else {{ {otherwise.flow} }})",
            f"({then.python} if {condition.python} else {otherwise.python})",
        )

    def match_value(self, type: str, depth: int) -> Pair:
        subject, sides = self.value("Kind", 0), [self.value(type, depth) for _ in range(2)]
        member = self.chance.choice(KINDS)
        return Pair(
            f"(match {subject.flow} {{ {member} => {{ {sides[0].flow} }} else => {{ {sides[1].flow} }} }})",
            f"({sides[0].python} if {subject.python}.name == {member!r} else {sides[1].python})",
        )

    def call(self, type: str, depth: int) -> Pair:
        known = [function for function in self.functions if function.result == type]
        if not known:
            return self.value(type, depth)
        function = self.chance.choice(known)
        arguments = [(name, self.value(kind, depth)) for name, kind in function.parameters]
        return Pair(
            f"{function.name}({', '.join(f'{name}: {value.flow}' for name, value in arguments)})",
            f"{function.name}({', '.join(value.python for _, value in arguments)})",
        )

    def both(self, types: tuple[str, ...], depth: int, flow: str, python: str | None = None) -> Pair:
        """A template, `{0}`, for both languages, or one for each."""
        parts = [self.value(type, depth) for type in types]
        return Pair(
            flow.format(*(part.flow for part in parts)), (python or flow).format(*(part.python for part in parts))
        )

    def one_of(self, depth: int, *templates: tuple[tuple[str, ...], str, str | None]) -> Pair:
        types, flow, python = self.chance.choice(templates)
        return self.both(types, depth, flow, python)

    def arithmetic(self, depth: int) -> Pair:
        two = ("int", "int")
        divisor = self.chance.choice([-3, -1, 2, 7])
        return self.one_of(
            depth,
            (("int",), f"({{0}} % ({divisor}))", None),
            (("int",), f"round({{0}} / ({divisor}))", None),
            *((two, f"({{0}} {operator} {{1}})", None) for operator in "+-*"),
            (two, "({0} % (max({1}, -{1}) + 1))", None),
            (("int",), "(-{0})", None),
        )

    def length(self, depth: int) -> Pair:
        return self.one_of(
            depth, *(((type,), "len({0})", None) for type in ("str", "list[int]", "list[str]", "map[int]"))
        )

    def rounded(self, depth: int) -> Pair:
        return self.both(("float",), depth, "round({0})")

    def extreme(self, depth: int) -> Pair:
        two = ("int", "int")
        clamped = (("int",), "clamp({0}, -3, 3)", "min(max({0}, -3), 3)")
        return self.one_of(depth, (two, "min({0}, {1})", None), (two, "max({0}, {1})", None), clamped)

    def total(self, depth: int) -> Pair:
        return self.both(("list[int]",), depth, "sum({0})")

    def element(self, depth: int) -> Pair:
        return self.both(("list[int]",), depth, f"({{0}} + [7])[{self.chance.choice([0, -1])}]")

    def field(self, depth: int) -> Pair:
        return self.both(("P",), depth, "{0}.a")

    def numbered_case(self, depth: int) -> Pair:
        """A match over numbers, negative ones too, or over strings."""
        if self.chance.random() < 0.5:
            sides = [self.value("int", depth) for _ in range(3)]
            subject = self.value("int", 1)
            return Pair(
                f"(match wide({subject.flow}) {{ -1.0, 0.0 => {{ {sides[0].flow} }} 2.0 => {{ {sides[1].flow} }} "
                f"else => {{ {sides[2].flow} }} }})",
                f"(lambda case: {sides[0].python} if case in (-1, 0) else {sides[1].python} if case == 2 "
                f"else {sides[2].python})({subject.python})",
            )
        subject, sides = self.value("str", depth), [self.value("int", depth) for _ in range(2)]
        return Pair(
            f'(match {subject.flow} {{ "a", "Tarnok" => {{ {sides[0].flow} }} else => {{ {sides[1].flow} }} }})',
            f"({sides[0].python} if {subject.python} in ('a', 'Tarnok') else {sides[1].python})",
        )

    def narrowed(self, depth: int) -> Pair:
        """A field that may be none, tested before it is read."""
        records = [name for name, type in self.names if type == "P"]
        if not records:
            return self.field(depth)
        name, other = self.chance.choice(records), self.value("int", depth)
        return self.chance.choice(
            [
                Pair(
                    f"(if {name}.c is none {{ {other.flow} }} else {{ {name}.c + 1 }})",
                    f"({other.python} if {name}.c is None else {name}.c + 1)",
                ),
                Pair(
                    f"(if {name}.c is not none and {name}.c > {name}.a {{ {name}.c }} else {{ {other.flow} }})",
                    f"({name}.c if {name}.c is not None and {name}.c > {name}.a else {other.python})",
                ),
                Pair(f"({name}.c ?? {other.flow})", f"default({name}.c, lambda: {other.python})"),
            ]
        )

    def looked_up(self, depth: int) -> Pair:
        """A record of a map, or none."""
        records, key, inner = self.value("map[P]", depth), self.value("str", depth), self.fresh()
        other = self.value("int", depth)
        return Pair(
            f"(match ({records.flow})[{key.flow}] {{ P as {inner} => {{ {inner}.a }} none => {{ {other.flow} }} }})",
            f"given(({records.python}).get({key.python}), lambda {inner}: {inner}.a, lambda: {other.python})",
        )

    def widened(self, depth: int) -> Pair:
        """A whole number that stands for a float."""
        return self.one_of(
            depth,
            (("int",), "wide({0})", None),
            (("list[float]",), "sum([0.0] + {0})", None),
            (("int", "float"), "min(wide({0}), {1})", None),
            (("float",), "({0} % 2.5)", None),
            (("int", "float"), "wide(if {0} < {1} {{ {0} }} else {{ {1} }})", "wide({0} if {0} < {1} else {1})"),
        )

    def foremost(self, depth: int) -> Pair:
        return self.one_of(
            depth,
            (("list[P]", "P"), "(first({0}) ?? {1})", "default(next(iter({0}), None), lambda: {1})"),
            (("P", "list[P]"), 'best([{0}] + {1}, by: "a")', "max([{0}] + {1}, key=lambda item: item.a)"),
        )

    def sorted_by(self, depth: int) -> Pair:
        by = self.chance.choice(["a", "b"])
        return self.one_of(
            depth,
            (("list[P]",), f'sort({{0}}, by: "{by}")', f"sorted({{0}}, key=lambda item: item.{by})"),
            (("list[P]",), f'sort({{0}}, "{by}")', f"sorted({{0}}, key=lambda item: item.{by})"),
        )

    def given(self, depth: int) -> Pair:
        names = [name for name, type in self.names if type == "int?"]
        other = self.value("int", depth)
        if names:
            name = self.chance.choice(names)
            return Pair(f"({name} ?? {other.flow})", f"default({name}, lambda: {other.python})")
        return other

    def quotient(self, depth: int) -> Pair:
        return self.both(("int", "int"), depth, "({0} / (max({1}, -{1}) + 1))")

    def as_float(self, depth: int) -> Pair:
        return self.both(("int",), depth, "float({0})")

    def average(self, depth: int) -> Pair:
        return self.both(("list[int]",), depth, "mean([1] + {0})", "fmean([1] + {0})")

    def floating(self, depth: int) -> Pair:
        return self.both(("float", "float"), depth, f"({{0}} {self.chance.choice('+-*')} {{1}})")

    def text(self, depth: int) -> Pair:
        """A string with holes; a hole holds a name, since strings inside it have no escapes."""
        parts = self.chance.sample(self.names, min(len(self.names), 2))
        flow = "".join(f"<{{{name}}}>" for name, _ in parts)
        return (
            Pair(f'"{flow}."', "".join(f"'<' + show({name}) + '>' + " for name, _ in parts) + "'.'")
            if parts
            else Pair('"."', '"."')
        )

    def joined(self, depth: int) -> Pair:
        return self.one_of(
            depth, (("str", "str"), "({0} + {1})", None), (("list[str]", "str"), "join({0}, {1})", "({1}).join({0})")
        )

    def changed(self, depth: int) -> Pair:
        return self.one_of(
            depth,
            (("str",), "lower({0})", "({0}).lower()"),
            (("str",), "upper({0})", "({0}).upper()"),
            (("str",), "trim({0})", "({0}).strip()"),
            (("str",), "reverse({0})", "({0})[::-1]"),
            (("str", "str"), 'replace({0}, "a", {1})', '({0}).replace("a", {1})'),
        )

    def ends(self) -> str:
        return self.chance.choice(["[1:]", "[:2]", "[-2:]", "[0:1]", "[5:]", "[:-1]", "[1:-1]", "[:]"])

    def cut(self, depth: int) -> Pair:
        if self.chance.random() < 0.3:
            return self.both(("str", "int", "int"), depth, "({0})[{1}:{2}]")
        return self.both(("str",), depth, f"({{0}}){self.ends()}")

    def named(self, depth: int) -> Pair:
        return self.both(("P",), depth, "{0}.b")

    def shown(self, depth: int) -> Pair:
        return self.one_of(
            depth, *(((type,), "str({0})", "show({0})") for type in TYPES if type not in ("Pet", "int?", "str?"))
        )

    def compared(self, depth: int) -> Pair:
        type = self.chance.choice(["int", "float", "str"])
        if self.chance.random() < 0.2:
            mixed = f"(wide({{0}}) {self.chance.choice(['<', '<=', '>', '>=', '==', '!='])} {{1}})"
            return self.both(("int", "float"), depth, mixed)
        return self.both((type, type), depth, f"({{0}} {self.chance.choice(['<', '<=', '>', '>=', '==', '!='])} {{1}})")

    def inside(self, depth: int) -> Pair:
        word = self.chance.choice(["in", "not in"])
        return self.one_of(
            depth,
            (("str", "str"), f"({{0}} {word} {{1}})", None),
            (("int", "list[int]"), f"({{0}} {word} {{1}})", None),
            (("str", "list[str]"), f"({{0}} {word} {{1}})", None),
            (("str", "map[int]"), f"({{0}} {word} {{1}})", None),
            (("Kind",), f"({{0}} {word} [red, Kind.blue])", f"({{0}} {word} [Kind.red, Kind.blue])"),
            (("Kind", "list[Kind]"), f"({{0}} {word} {{1}})", None),
            (("P", "list[P]"), f"({{0}} {word} {{1}})", None),
        )

    def logical(self, depth: int) -> Pair:
        two = ("bool", "bool")
        return self.one_of(
            depth, (two, "({0} and {1})", None), (two, "({0} or {1})", None), (("bool",), "(not {0})", None)
        )

    def missing(self, depth: int) -> Pair:
        return self.both(("P",), depth, "({0}.c is none)", "({0}.c is None)")

    def tested(self, depth: int) -> Pair:
        return self.one_of(
            depth,
            (("str", "str"), "starts_with({0}, {1})", "({0}).startswith({1})"),
            (("str", "str"), "ends_with({0}, {1})", "({0}).endswith({1})"),
            (("bool", "bool"), "any([{0}, {1}])", None),
            (("bool", "bool"), "all([{0}, {1}])", None),
            (("P", "P"), "({0} == {1})", None),
            (("Pet", "Pet"), "(any_pet({0}) == {1})", None),
            (("Pet",), "(any_pet({0}) is Cat)", "isinstance(any_pet({0}), Cat)"),
            (("Pet",), "(any_pet({0}) is not none)", "(any_pet({0}) is not None)"),
            (("Kind", "Kind"), "({0} != {1})", None),
            (("list[int]", "list[int]"), "({0} == {1})", None),
        )

    def listed(self, element: str) -> Callable[[int], Pair]:
        of_map = "keys({0})" if element == "str" else "values({0})"
        in_python = "list({0})" if element == "str" else "list(({0}).values())"
        pair = ((element, element), "[{0}, {1}]", None)
        return lambda depth: self.one_of(depth, pair, pair, (("map[int]",), of_map, in_python))

    def added(self, element: str) -> Callable[[int], Pair]:
        return lambda depth: self.both((f"list[{element}]",) * 2, depth, "({0} + {1})")

    def sliced(self, element: str) -> Callable[[int], Pair]:
        return lambda depth: self.both((f"list[{element}]",), depth, f"({{0}}){self.ends()}")

    def ordered(self, element: str) -> Callable[[int], Pair]:
        type = (f"list[{element}]",)
        return lambda depth: self.one_of(
            depth, (type, "sort({0})", "sorted({0})"), (type, "reverse({0})", "({0})[::-1]")
        )

    def zipped(self, depth: int) -> Pair:
        return self.both(("list[str]", "list[int]"), depth, "map(zip({0}, {1}))", "dict(zip({0}, {1}))")

    def found(self, depth: int) -> Pair:
        return self.both(("map[int]", "str"), depth, "({0})[{1}]", "({0}).get({1})")

    def parted(self, depth: int) -> Pair:
        return self.both(("str",), depth, 'split({0}, ",")', '({0}).split(",")')

    def leading(self, depth: int) -> Pair:
        return self.both(("list[int]",), depth, "first({0})", "next(iter({0}), None)")

    def record(self, depth: int) -> Pair:
        return self.both(("int", "str", "int?"), depth, "P(a: {0}, b: {1}, c: {2})", "P({0}, {1}, {2})")

    def cat(self, depth: int) -> Pair:
        return self.both(("str", "int"), depth, "Cat(name: {0}, lives: {1})", "Cat({0}, {1})")

    def pet(self, depth: int) -> Pair:
        """A number by `match` over a union."""
        subject, inner = self.value("Pet", depth), self.fresh()
        other, more = self.value("int", depth), self.value("int", depth)
        cat = self.chance.choice([f"{inner}.lives", f"len({inner}.name)"])
        return Pair(
            f"(match any_pet({subject.flow}) {{ Cat as {inner} => {{ {cat} }} "
            f"int as {inner} => {{ {inner} + {more.flow} }} none => {{ {other.flow} }} }})",
            f"by_kind({subject.python}, lambda {inner}: {cat}, lambda {inner}: {inner} + {more.python}, "
            f"lambda: {other.python})",
        )
