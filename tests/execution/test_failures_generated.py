"""Flows made at random in which much fails, compared with the same program in Python, where an else is an except."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import alora_flow
from alora_flow import RunFailed

TOOLS = """
def look(q):
    if len(q) % 3 == 0:
        raise LookupError("no " + q)
    return q + "a"
"""
HEAD = """
model base = "mini"
tool look(q: str) -> str = python "tools:look" with (pure: true)
"""

Names = dict[str, str]
Step = Callable[[Names], str | None]
"""Changes the names; the value where the flow returns."""


class Failed(Exception):
    """What a call of the program fails with."""


class _Maker:
    """Each rule gives a piece of a flow, and the same in Python."""

    def __init__(self, random: Random) -> None:
        self.random, self.count, self.flows = random, 0, list[str]()

    def new(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def call(self, names: list[str], depth: int, place: bool = True) -> tuple[str, Callable[[Names], str]]:
        """A value that may fail."""
        name, number = self.random.choice(names), self.random.randint(0, 2)
        kind = self.random.choice(["look", *["place"] * place, *["flow"] * (2 if depth else 0)])
        if kind == "flow":
            flow, body = self.flow(depth - 1)
            return f"{flow}({name})", lambda known: _returned(body, {"q": known[name]})
        if kind == "place":
            return f'split({name}, "a")[{number}]', lambda known: _place(known[name].split("a"), number)
        return f"look({name})", lambda known: _look(known[name])

    def statement(self, names: list[str], depth: int) -> tuple[str, Step, str | None]:
        """A statement, and the name that it binds."""
        if self.random.random() < 0.2:
            name, least = self.random.choice(names), self.random.randint(1, 3)
            return f"require len({name}) >= {least}", lambda known: _require(len(known[name]) >= least), None
        bound = self.new()
        if self.random.random() < 0.3:
            text, value = self.call(names, depth, place=False)  # a place that nothing reads is not looked for
            return f"let {bound} = {text}", lambda known: known.update({bound: value(known)}), bound
        text, value = self.call(names, depth)
        way, instead = self.otherwise(names, depth)
        return f"let {bound} = {text} else {way}", lambda known: _attempt(known, bound, value, instead), bound

    def otherwise(self, names: list[str], depth: int) -> tuple[str, Callable[[Names], tuple[str, bool]]]:
        """An else: what it gives, and whether it returns that."""
        name = self.random.choice(names)
        match self.random.choice(["value", "return", "both", "again"]):
            case "value":
                return f"{{ {name} }}", lambda known: (known[name], False)
            case "return":
                return f"{{ return {name} }}", lambda known: (known[name], True)
            case "both":
                text = f'{{ if len({name}) > 2 {{ return {name} }}  accept "b" }}'
                return text, lambda known: (known[name], True) if len(known[name]) > 2 else ("b", False)
        text, value = self.call(names, 0)
        return f"{{ {text} }}", lambda known: (value(known), False)

    def flow(self, depth: int) -> tuple[str, list[Step]]:
        """A flow of its own, and its steps."""
        name, names, lines, steps = f"f{self.new()}", ["q"], list[str](), list[Step]()
        for _ in range(self.random.randint(1, 4)):
            text, step, bound = self.statement(names, depth)
            lines.append(text)
            steps.append(step)
            names += [bound] if bound else []
        last = self.random.choice(names)
        self.flows.append("\n  ".join([f"flow {name}(q: str) -> str {{", *lines, f"return {last}\n}}"]))
        return name, [*steps, lambda known: known[last]]


def _look(q: str) -> str:
    if len(q) % 3 == 0:
        raise Failed
    return q + "a"


def _place(parts: list[str], number: int) -> str:
    if number >= len(parts):
        raise Failed
    return parts[number]


def _require(holds: bool) -> None:
    if not holds:
        raise Failed


def _attempt(
    known: Names, bound: str, value: Callable[[Names], str], instead: Callable[[Names], tuple[str, bool]]
) -> str | None:
    try:
        known[bound] = value(known)
    except Failed:
        given, returned = instead(known)
        if returned:
            return given
        known[bound] = given
    return None


def _returned(steps: list[Step], known: Names) -> str:
    for step in steps:
        value = step(known)
        if value is not None:
            return value
    raise AssertionError("a flow returns")


def test_flows_that_fail_are_as_in_python(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    seen: Counter[str] = Counter()
    for seed in range(200):
        maker = _Maker(Random(seed))
        name, steps = maker.flow(2)
        path = tmp_path / "main.flow"
        path.write_text(HEAD + "\n".join(maker.flows))
        flow = alora_flow.load(path, backend="echo").flows[name]
        for q in ("", "a", "bab", "xaya"):
            try:
                expected: str | None = _returned(steps, {"q": q})
            except Failed:
                expected = None
            try:
                result = flow(q=q)
                assert result.value == expected, (seed, q, path.read_text())
                assert all(node.status for node in result.trace.nodes)
                seen["handled" if result.trace.handled else "done"] += 1
            except RunFailed:
                assert expected is None, (seed, q, path.read_text())
                seen["failed"] += 1
    assert min(seen.values()) > 50, seen
