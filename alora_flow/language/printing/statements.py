"""Statements and the values in them as lines: on one line where they fit, else broken where they can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from alora_flow.language.printing.lines import INDENT, WIDTH, Lines
from alora_flow.language.printing.values import (
    BINARY_LEVELS,
    argument,
    arguments,
    arm_head,
    expression,
    if_head,
    qualified,
    type_text,
    value_arm,
)
from alora_flow.language.report.source import Span
from alora_flow.language.syntax import nodes

SIMPLE = (
    *(nodes.Let, nodes.Thread, nodes.Return, nodes.Require, nodes.Keep, nodes.Accept, nodes.Next, nodes.Mock),
    nodes.Expect,
)
BLOCKS = (nodes.For, nodes.Repeat, nodes.MayInvoke, nodes.Attempt)


class StatementPrinter:
    """Writes to `out`; a printer of declarations builds on it."""

    def __init__(self, out: Lines) -> None:
        self.out = out

    def body(self, block: nodes.Block) -> None:
        """The statements of a block whose `{` is printed."""
        with self.out.block(block.span.start):
            for node in block.statements:
                self.out.begin(node.span)
                self.statement(node)
                self.out.end(node.span)
            self.out.close(block.span)

    def statement(self, node: nodes.Statement) -> None:
        flat = self.flat(node)
        if flat is not None and self.fits(flat) and not self.out.inside(node.span):
            self.out.add(flat)
            return
        match node:
            case nodes.If():
                self.if_(node, "if")
            case nodes.Match():
                self.match(node)
            case nodes.Do():
                self.assign(node, "", node.value)
            case _:
                head, value, tail = PARTS[type(node)](node)
                self.assign(node, head, value, tail)

    def flat(self, node: nodes.Statement | nodes.Arm) -> str | None:
        """On one line, where that is possible and the author did it."""
        if isinstance(node, nodes.If):
            return self.flat_if(node) if self.was_flat(node, needs_source=True) else None
        if isinstance(node, nodes.Do):
            return self.flat_blocks(node.value)
        if not isinstance(node, SIMPLE):
            return None
        head, value, tail = PARTS[type(node)](node)
        if self.is_spread(value):
            return None
        shown = self.flat_blocks(value) if isinstance(value, BLOCKS) else expression(value, indent=self.out.indent)
        return None if shown is None or "\n" in shown else f"{head}{shown}{tail}"

    def flat_blocks(self, node: nodes.Expression) -> str | None:
        """A fan-out or an `else` with one statement; loops and calls by the model have lines of their own."""
        if not self.was_flat(node, needs_source=True):
            return None
        match node:
            case nodes.For():
                block = self.flat_block(node.body)
                return block and f"{for_head(node)} {block}"
            case nodes.Attempt(value=value) if not self.is_spread(value):
                block = self.flat_side(node.otherwise)
                tried = self.flat_tried(value)
                return block and tried and f"{tried}{else_head(node)} {block}"
        return None

    def flat_tried(self, node: nodes.Expression) -> str | None:
        if not isinstance(node, nodes.MayInvoke):
            return expression(node, indent=self.out.indent)
        call, may = expression(node.call, indent=self.out.indent), node.permission
        return None if may.clauses else f"{call} {permitted(may)}"

    def flat_side(self, node: nodes.Block | nodes.Expression) -> str | None:
        return self.flat_block(node) if isinstance(node, nodes.Block) else f"{{ {expression(node)} }}"

    def flat_if(self, node: nodes.If) -> str | None:
        then = self.flat_block(node.then)
        otherwise = ""
        if isinstance(node.otherwise, nodes.If):
            inner = self.flat_if(node.otherwise)
            otherwise = f" else {inner}" if inner else ""
        elif node.otherwise is not None:
            inner = self.flat_block(node.otherwise)
            otherwise = f" else {inner}" if inner else ""
        if then is None or (node.otherwise is not None and not otherwise):
            return None
        return f"if {expression(node.condition)} {then}{otherwise}"

    def flat_block(self, block: nodes.Block) -> str | None:
        if not block.statements:
            return "{}"
        texts = [self.flat(node) for node in block.statements]
        return f"{{ {texts[0]} }}" if len(texts) == 1 and texts[0] is not None else None

    def if_(self, node: nodes.If, word: str) -> None:
        if word == "if":
            self.out.hoist(node.then.span.start)
        self.out.add(f"{word} {expression(node.condition, indent=self.out.indent)} {{")
        self.body(node.then)
        if isinstance(node.otherwise, nodes.If):
            self.if_(node.otherwise, "} else if")
        elif node.otherwise is not None:
            self.out.add("} else {")
            self.body(node.otherwise)
            self.out.add("}")
        else:
            self.out.add("}")

    def match(self, node: nodes.Match) -> None:
        self.out.hoist(node.subject.span.end)
        self.out.add(f"match {expression(node.subject, indent=self.out.indent)} {{")
        with self.out.block(node.subject.span.end):
            for arm in node.arms:
                self.out.begin(arm.span)
                self.arm(arm)
                self.out.end(arm.span)
            self.out.close(node.span)
        self.out.add("}")

    def arm(self, node: nodes.Arm) -> None:
        head = arm_head(node)
        block = self.flat_block(node.body)
        flat = f"{head} {block}"
        if block and self.fits(flat) and not self.out.inside(node.span) and self.was_flat(node, needs_source=True):
            self.out.add(flat)
            return
        self.out.hoist(node.body.span.start)
        self.out.add(f"{head} {{")
        self.body(node.body)
        self.out.add("}")

    def assign(self, node: nodes.Node, head: str, value: nodes.Expression, tail: str = "") -> None:
        match value:
            case nodes.For():
                self.opening(value, f"{head}{for_head(value)} {{", value.body)
                self.out.add(f"}}{tail}")
            case nodes.Repeat():
                self.repeat(value, head, tail)
            case nodes.MayInvoke():
                self.may_invoke(value, head, tail)
            case nodes.Attempt():
                self.attempt(value, head, tail)
            case _:
                self.out.hoist(node.span.end)
                for line in self.broken(head, value, tail):
                    self.out.add(line)

    def opening(self, node: nodes.Node, head: str, block: nodes.Block) -> None:
        self.out.hoist(block.span.start)
        self.out.add(head)
        self.body(block)

    def repeat(self, node: nodes.Repeat, head: str, tail: str) -> None:
        states = ", ".join(self.state(item) for item in node.states)
        states = f"({states}) " if states else ""
        self.opening(node, f"{head}repeat {states}up to {expression(node.rounds)} {{", node.body)
        if node.otherwise is not None:
            self.out.add("} else {")
            self.body(node.otherwise)
        self.out.add(f"}}{tail}")

    def attempt(self, node: nodes.Attempt, head: str, tail: str) -> None:
        opening = f"{else_head(node)} {{"
        if isinstance(node.value, nodes.MayInvoke):
            self.may_invoke(node.value, head, opening, node.otherwise.span.start)
        else:
            block = isinstance(node.otherwise, nodes.Block)
            self.out.hoist(node.otherwise.span.start if block else node.span.end)
            for line in self.broken(head, node.value, opening):
                self.out.add(line)
        if isinstance(node.otherwise, nodes.Block):
            self.body(node.otherwise)
        else:
            with self.out.nested():
                for line in self.broken("", node.otherwise, ""):
                    self.out.add(line)
        self.out.add(f"}}{tail}")

    def state(self, node: nodes.State) -> str:
        return f"{node.name.text} = {expression(node.value)}"

    def may_invoke(self, node: nodes.MayInvoke, head: str, tail: str, end: int | None = None) -> None:
        """`end`: where what follows in the same statement begins."""
        end = node.span.end if end is None else end
        call, may = expression(node.call, indent=self.out.indent), node.permission
        flat = f"{head}{call} {permitted(may)}"
        self.out.hoist(may.clauses[0].span.start if may.clauses else end)
        if not self.fits(flat + " {"):
            *lines, last = self.broken(head, node.call, "")
            for line in lines:
                self.out.add(line)
            flat = f"{last} {permitted(may)}"
        self.permission(may, flat, tail, end)

    def permission(self, node: nodes.Permission, flat: str, tail: str, end: int | None = None) -> None:
        """Behind what stands before its clauses: these in the same line, where there is one and it fits."""
        clauses = [self.clause_text(item) for item in node.clauses]
        short = f"{flat}{f' {{ {clauses[0]} }}' if clauses else ''}{tail}"
        last = node.span if end is None else Span(node.span.source, node.span.start, end)
        if len(clauses) < 2 and self.fits(short) and not self.out.inside(last):
            self.out.add(short)
            return
        self.out.add(f"{flat} {{" if clauses else f"{flat}{tail}")
        if clauses:
            with self.out.nested():
                for item, text in zip(node.clauses, clauses, strict=True):
                    self.out.begin(item.span)
                    self.out.add(text)
                    self.out.end(item.span)
                self.out.close(last)
            self.out.add(f"}}{tail}")

    def clause_text(self, node: nodes.OnClause) -> str:
        name = f"({node.name.text})" if node.name else ""
        when = f" when {expression(node.condition)}" if node.condition else ""
        return f"on {qualified(node.callee)}{name}{when} => {node.action.text}"

    def broken(self, head: str, value: nodes.Expression, tail: str) -> list[str]:
        """The lines of `head value tail`: one if it fits, else arguments, elements or operands each on its own."""
        flat = f"{head}{expression(value, indent=self.out.indent)}{tail}"
        if "\n" in flat or (self.fits(flat) and not self.is_spread(value)):
            return [flat]
        match value:
            case nodes.RunOn(call=nodes.CallNode() as call) if call.arguments:
                after = f"{value_after(value)}{tail}"
                return self.spread(head + expression(call.callee), "(", call.arguments, ")" + after)
            case nodes.CallNode() if value.arguments:
                return self.spread(head + expression(value.callee), "(", value.arguments, ")" + tail)
            case nodes.List() if value.items:
                items = [nodes.Argument(item.span, None, item) for item in value.items]
                return self.spread(head, "[", items, "]" + tail)
            case nodes.Binary():
                return self.chain(head, value, tail)
            case nodes.IfValue():
                return self.sides(head, value, tail)
            case nodes.MatchValue():
                arms = [f"{INDENT}{value_arm(arm)}" for arm in value.arms]
                return [f"{head}match {expression(value.subject)} {{", *arms, f"}}{tail}"]
        return [flat]

    def is_spread(self, value: nodes.Expression) -> bool:
        """Has the author given the sides of a value by condition lines of their own?"""
        return isinstance(value, (nodes.IfValue, nodes.MatchValue)) and not self.was_flat(value, needs_source=True)

    def sides(self, head: str, value: nodes.IfValue, tail: str) -> list[str]:
        lines = [f"{head}{if_head(value)} {{", f"{INDENT}{expression(value.then)}"]
        if isinstance(value.otherwise, nodes.IfValue):
            return [*lines, *self.sides("} else ", value.otherwise, tail)]
        return [*lines, "} else {", f"{INDENT}{expression(value.otherwise)}", f"}}{tail}"]

    def spread(self, head: str, opening: str, items: Sequence[nodes.Argument], tail: str) -> list[str]:
        return [f"{head}{opening}", *(f"{INDENT}{argument(item)}," for item in items), tail]

    def chain(self, head: str, value: nodes.Binary, tail: str) -> list[str]:
        """Operands of one operator under each other, the operator in front."""
        operands: list[str] = []
        node: nodes.Expression = value
        while isinstance(node, nodes.Binary) and node.operator == value.operator:
            operands.insert(0, f"{INDENT}{node.operator} {expression(node.right, level_of(node) + 1)}")
            node = node.left
        first = f"{head}{expression(node, level_of(value))}"
        operands[-1] += tail
        return [first, *operands]

    def fits(self, text: str) -> bool:
        return len(self.out.indent) + len(text) <= WIDTH

    def was_flat(self, node: nodes.Node, needs_source: bool = False) -> bool:
        """Did the author write it on one line? Without a source: what is not `needs_source`."""
        return node.span.line == node.span.end_line if self.out.source is not None else not needs_source


def for_head(node: nodes.For) -> str:
    limit = f" limit {expression(node.limit)}" if node.limit else ""
    limit += " strict" * node.strict
    return f"for {node.name.text} in {expression(node.source)}{limit}"


def else_head(node: nodes.Attempt) -> str:
    return f" else as {node.name.text}" if node.name else " else"


def value_after(node: nodes.RunOn) -> str:
    as_type = f" as {type_text(node.as_type)}" if node.as_type else ""
    return as_type + (f" on {expression(node.thread, 10)}" if node.thread else "")


def level_of(node: nodes.Binary) -> int:
    return BINARY_LEVELS[node.operator]


def _let(node: nodes.Let) -> tuple[str, nodes.Expression, str]:
    type = f": {type_text(node.type)}" if node.type else ""
    return f"let {node.name.text}{type} = ", node.value, ""


def _when(word: str, node: nodes.Keep | nodes.Accept) -> tuple[str, nodes.Expression, str]:
    return f"{word} ", node.value, f" when {expression(node.condition)}" if node.condition else ""


def _next(node: nodes.Next) -> tuple[str, nodes.Expression, str]:
    *before, last = node.states
    head = "".join(f"{item.name.text} = {expression(item.value)}, " for item in before)
    return f"next {head}{last.name.text} = ", last.value, ""


def _mock(node: nodes.Mock) -> tuple[str, nodes.Expression, str]:
    first, *others = node.values
    assert not isinstance(first, nodes.Invoking), "the grammar has a value first"
    tail = "".join(f" then {_answer(item)}" for item in others)
    as_type = f" as {type_text(node.as_type)}" if node.as_type else ""
    head = f"mock {qualified(node.callee)}{arguments(node.arguments)}{as_type}"
    return (f"{head} fails ", first.message, tail) if isinstance(first, nodes.Failing) else (f"{head} = ", first, tail)


def permitted(node: nodes.Permission) -> str:
    """What may be invoked, without the clauses."""
    limits = {"budget": node.budget, "depth": node.depth}
    written = "".join(f" {name} {expression(limit)}" for name, limit in limits.items() if limit)
    return f"may invoke [{', '.join(map(qualified, node.callees))}]{written}"


def _answer(node: nodes.Expression | nodes.Failing | nodes.Invoking) -> str:
    if isinstance(node, nodes.Invoking):
        return f"invoke {qualified(node.callee)}{arguments(node.arguments) if node.arguments else ''}"
    return f"fails {expression(node.message)}" if isinstance(node, nodes.Failing) else expression(node)


Parts = Callable[[Any], tuple[str, nodes.Expression, str]]
PARTS: dict[type, Parts] = {
    nodes.Let: _let,
    nodes.Thread: lambda node: (f"thread {node.name.text} = ", node.value, ""),
    nodes.Return: lambda node: ("return ", node.value, ""),
    nodes.Require: lambda node: (
        "require ",
        node.condition,
        f" else {expression(node.message)}" if node.message else "",
    ),
    nodes.Keep: lambda node: _when("keep", node),
    nodes.Accept: lambda node: _when("accept", node),
    nodes.Next: _next,
    nodes.Mock: _mock,
    nodes.Expect: lambda node: ("expect ", node.condition, ""),
}
