"""Syntax tree → canonical text. What a file means never changes: parsing the text again gives the same tree.

Two spaces of indent, lines of 120 characters where they can be broken, brackets only where needed. Comments, the
grouping by blank lines, and the choice to write a short block on one line are the author's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from alora_flow.language import nodes
from alora_flow.language.diagnostics import FlowErrors
from alora_flow.language.parser import parse
from alora_flow.language.print_lines import INDENT, WIDTH, Lines
from alora_flow.language.print_values import (
    BINARY_LEVELS,
    argument,
    arguments,
    expression,
    qualified,
    string,
    type_text,
)
from alora_flow.language.scan import Comment
from alora_flow.language.source import Source

SIMPLE = (
    *(nodes.Let, nodes.Thread, nodes.Return, nodes.Require, nodes.Keep, nodes.Accept, nodes.Next, nodes.Mock),
    nodes.Expect,
)
BLOCKS = (nodes.For, nodes.Repeat, nodes.MayInvoke)
MULTILINE = (nodes.Intrinsic, nodes.Flow, nodes.Test)


def format_source(text: str, path: str = "<text>") -> str:
    """The canonical form of a file. Raises FlowErrors, and changes nothing, when it does not parse."""
    source = Source(path, text)
    parsed = parse(source)
    if parsed.file is None:
        raise FlowErrors(parsed.diagnostics)
    return print_file(parsed.file, source, parsed.comments)


def print_file(file: nodes.File, source: Source | None = None, comments: Iterable[Comment] = ()) -> str:
    """Without a source, documentation is printed from the tree and there are no other comments."""
    printer = _Printer(Lines(source, comments))
    if file.doc and file.declarations and file.doc != file.declarations[0].doc:
        printer.doc(file.doc)
        printer.doc_apart()
    before: nodes.Node | None = None
    for node in file.declarations:
        printer.declaration(node, before)
        before = node
    printer.out.close(file.span)
    return printer.out.text()


class _Printer:
    def __init__(self, out: Lines) -> None:
        self.out = out

    # ------------------------------------------------------------ declarations

    def declaration(self, node: nodes.Declaration, before: nodes.Node | None) -> None:
        apart = before is not None and (
            self.is_tall(node, before) or (self.out.source is None and type(node) is not type(before))
        )
        self.out.begin(node.span, apart)
        self.doc(node.doc)
        DECLARATIONS[type(node)](self, node)
        self.out.end(node.span)

    def is_tall(self, *found: nodes.Node) -> bool:
        return any(isinstance(node, MULTILINE) and not getattr(node, "library", None) for node in found)

    def doc(self, text: str) -> None:
        """With a source, documentation is among the comments."""
        if text and self.out.source is None:
            for line in text.split("\n"):
                self.out.add(f"## {line}".rstrip())

    def doc_apart(self) -> None:
        if self.out.source is None:
            self.out.add("")

    def line(self, node: nodes.Node, text: str) -> None:
        self.out.hoist(node.span.end)
        self.out.add(text)

    def import_(self, node: nodes.Import) -> None:
        self.line(node, f"import {string(node.file)} as {node.name.text}")

    def model(self, node: nodes.Model) -> None:
        self.line(node, f"model {node.name.text} = {string(node.reference)}")

    def alias(self, node: nodes.Alias) -> None:
        self.line(node, f"type {node.name.text} = {type_text(node.type)}")

    def const(self, node: nodes.Const) -> None:
        type = f": {type_text(node.type)}" if node.type else ""
        self.assign(node, f"const {node.name.text}{type} = ", node.value)

    def enum(self, node: nodes.Enum) -> None:
        self.group(node, f"enum {node.name.text}", node.members, lambda item: item.name.text)

    def record(self, node: nodes.Record) -> None:
        self.group(node, f"record {node.name.text}", node.fields, self.field)

    def field(self, node: nodes.Field | nodes.Parameter) -> str:
        default = f" = {expression(node.default)}" if node.default else ""
        return f"{node.name.text}: {type_text(node.type)}{default}"

    def group(
        self, node: nodes.Enum | nodes.Record, head: str, items: Sequence[Any], show: Callable[[Any], str]
    ) -> None:
        """`head { a, b }` on one line, or an item a line."""
        flat = f"{head} {{ {', '.join(map(show, items))} }}" if items else f"{head} {{}}"
        documented = any(item.doc for item in items)
        if self.fits(flat) and not documented and not self.out.inside(node.span) and self.was_flat(node):
            self.out.add(flat)
            return
        self.out.add(f"{head} {{")
        self.opened(node.name.span.end)
        with self.out.nested():
            for item in items:
                self.out.begin(item.span)
                self.doc(item.doc)
                self.line(item, f"{show(item)},")
                self.out.end(item.span)
            self.out.close(node.span)
        self.out.add("}")

    def intrinsic(self, node: nodes.Intrinsic) -> None:
        settings = f" with {arguments(node.settings.arguments)}" if node.settings else ""
        library = f" from {string(node.library)}" if node.library else ""
        tail = f" -> {type_text(node.result)}{library}{settings}{'' if library else ' {'}"
        end = node.span.end if library else (node.settings or node.result).span.end
        self.head(f"intrinsic {node.name.text}", node.parameters, tail, end)
        if not library:
            self.opened((node.settings or node.result).span.end)
            with self.out.nested():
                for item in node.items:
                    self.out.begin(item.span)
                    self.line(item, f"{item.keyword.text} {self.item_value(item.value)}")
                    self.out.end(item.span)
                self.out.close(node.span)
            self.out.add("}")

    def item_value(self, value: Any) -> str:
        if isinstance(value, nodes.Identifier):
            return value.text
        if isinstance(value, nodes.Choices):
            return f"enum({', '.join(map(string, value.options))})"
        if isinstance(value, nodes.TypeNode):
            return type_text(value)
        return expression(value, indent=self.out.indent)

    def tool(self, node: nodes.Tool) -> None:
        result = f" -> {type_text(node.result)}" if node.result else ""
        settings = f" with {arguments(node.settings.arguments)}" if node.settings else ""
        tail = f"{result} = {node.host.text} {string(node.function)}{settings}"
        self.head(f"tool {node.name.text}", node.parameters, tail, node.span.end)

    def head(self, start: str, parameters: Sequence[nodes.Parameter], tail: str, end: int) -> None:
        """`start(a: str, b: int) tail`, a parameter a line where it is too long; `end` is its end in the source."""
        flat = f"{start}({', '.join(map(self.field, parameters))}){tail}"
        if self.fits(flat) or not parameters:
            self.out.hoist(end)
            self.out.add(flat)
            return
        self.out.add(f"{start}(")
        with self.out.nested():
            for item in parameters:
                self.out.begin(item.span)
                self.line(item, f"{self.field(item)},")
                self.out.end(item.span)
        self.out.add(f"){tail}")

    def flow(self, node: nodes.Flow) -> None:
        clauses = "".join(f" {self.clause(clause)}" for clause in node.clauses)
        tail = f" -> {type_text(node.result)}{clauses} {{"
        self.head(f"flow {node.name.text}", node.parameters, tail, node.body.span.start)
        self.body(node.body)
        self.out.add("}")

    def clause(self, node: nodes.Clause) -> str:
        match node:
            case nodes.MaxDepth():
                return f"max_depth {expression(node.depth)}"
            case nodes.Speculate():
                return "speculate"
        limits = ", ".join(f"{limit.resource.text} <= {expression(limit.amount)}" for limit in node.limits)
        return f"budget {{ {limits} }}" if limits else "budget {}"

    def test(self, node: nodes.Test) -> None:
        self.out.add(f"test {string(node.title)} {{")
        self.body(node.body)
        self.out.add("}")

    # -------------------------------------------------------------- statements

    def body(self, block: nodes.Block) -> None:
        """The statements of a block whose `{` is printed; a comment behind the `{` stays there."""
        self.out.hoist(block.span.start)
        self.opened(block.span.start)
        with self.out.nested():
            for node in block.statements:
                self.out.begin(node.span)
                self.statement(node)
                self.out.end(node.span)
            self.out.close(block.span)

    def opened(self, before: int) -> None:
        """The first `{` after this offset is printed."""
        if self.out.source is not None:
            bracket = self.out.source.text.index("{", before)
            self.out.end(self.out.source.span(bracket, bracket + 1))

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
        if not isinstance(node, SIMPLE) or isinstance(getattr(node, "value", None), BLOCKS):
            return None
        head, value, tail = PARTS[type(node)](node)
        text = f"{head}{expression(value, indent=self.out.indent)}{tail}"
        return None if "\n" in text else text

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
        self.out.hoist(node.condition.span.end)
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
        self.opened(node.subject.span.end)
        with self.out.nested():
            for arm in node.arms:
                self.out.begin(arm.span)
                self.arm(arm)
                self.out.end(arm.span)
            self.out.close(node.span)
        self.out.add("}")

    def arm(self, node: nodes.Arm) -> None:
        patterns = ", ".join(self.pattern(item) for item in node.patterns) or "else"
        name = f" as {node.name.text}" if node.name else ""
        head = f"{patterns}{name} =>"
        block = self.flat_block(node.body)
        flat = f"{head} {block}"
        if block and self.fits(flat) and not self.out.inside(node.span) and self.was_flat(node, needs_source=True):
            self.out.add(flat)
            return
        self.out.add(f"{head} {{")
        self.body(node.body)
        self.out.add("}")

    def pattern(self, node: nodes.TypePattern | nodes.ValuePattern) -> str:
        return type_text(node.type) if isinstance(node, nodes.TypePattern) else expression(node.value)

    # ---------------------------------------------- values, on several lines if need be

    def assign(self, node: nodes.Node, head: str, value: nodes.Expression, tail: str = "") -> None:
        match value:
            case nodes.For():
                limit = f" limit {expression(value.limit)}" if value.limit else ""
                self.opening(value, f"{head}for {value.name.text} in {expression(value.source)}{limit} {{", value.body)
                self.out.add(f"}}{tail}")
            case nodes.Repeat():
                self.repeat(value, head, tail)
            case nodes.MayInvoke():
                self.may_invoke(value, head, tail)
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

    def state(self, node: nodes.State) -> str:
        return f"{node.name.text} = {expression(node.value)}"

    def may_invoke(self, node: nodes.MayInvoke, head: str, tail: str) -> None:
        budget = f" budget {expression(node.budget)}" if node.budget else ""
        may = f"may invoke [{', '.join(map(qualified, node.callees))}]{budget}"
        call = expression(node.call, indent=self.out.indent)
        clauses = [self.clause_text(item) for item in node.clauses]
        short = f"{head}{call} {may}{f' {{ {clauses[0]} }}' if clauses else ''}{tail}"
        if len(clauses) < 2 and self.fits(short) and not self.out.inside(node.span):
            self.out.add(short)
            return
        start = node.clauses[0].span.start if clauses else node.span.end
        self.out.hoist(start)
        flat = f"{head}{call} {may}"
        if not self.fits(flat + " {"):
            *lines, last = self.broken(head, node.call, "")
            for line in lines:
                self.out.add(line)
            flat = f"{last} {may}"
        self.out.add(f"{flat} {{" if clauses else f"{flat}{tail}")
        if clauses:
            with self.out.nested():
                for item, text in zip(node.clauses, clauses, strict=True):
                    self.out.begin(item.span)
                    self.line(item, text)
                    self.out.end(item.span)
                self.out.close(node.span)
            self.out.add(f"}}{tail}")

    def clause_text(self, node: nodes.OnClause) -> str:
        name = f"({node.name.text})" if node.name else ""
        when = f" when {expression(node.condition)}" if node.condition else ""
        return f"on {qualified(node.callee)}{name}{when} => {node.action.text}"

    def broken(self, head: str, value: nodes.Expression, tail: str) -> list[str]:
        """The lines of `head value tail`: one if it fits, else arguments, elements or operands each on its own."""
        flat = f"{head}{expression(value, indent=self.out.indent)}{tail}"
        if self.fits(flat) or "\n" in flat:
            return [flat]
        match value:
            case nodes.Run(call=nodes.Call() as call) if call.arguments:
                after = f"{value_after(value)}{tail}"
                return self.spread(head + expression(call.callee), "(", call.arguments, ")" + after)
            case nodes.Call() if value.arguments:
                return self.spread(head + expression(value.callee), "(", value.arguments, ")" + tail)
            case nodes.List() if value.items:
                items = [nodes.Argument(item.span, None, item) for item in value.items]
                return self.spread(head, "[", items, "]" + tail)
            case nodes.Binary():
                return self.chain(head, value, tail)
        return [flat]

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

    # ------------------------------------------------------------------ helpers

    def fits(self, text: str) -> bool:
        return len(self.out.indent) + len(text) <= WIDTH

    def was_flat(self, node: nodes.Node, needs_source: bool = False) -> bool:
        """Did the author write it on one line? Without a source: what is not `needs_source`."""
        return node.span.line == node.span.end_line if self.out.source is not None else not needs_source


def value_after(node: nodes.Run) -> str:
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
    tail = "".join(f" then {expression(item)}" for item in others)
    return f"mock {qualified(node.callee)}{arguments(node.arguments)} = ", first, tail


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
DECLARATIONS: dict[type, Callable[[_Printer, Any], None]] = {
    nodes.Import: _Printer.import_,
    nodes.Model: _Printer.model,
    nodes.Enum: _Printer.enum,
    nodes.Record: _Printer.record,
    nodes.Alias: _Printer.alias,
    nodes.Const: _Printer.const,
    nodes.Intrinsic: _Printer.intrinsic,
    nodes.Tool: _Printer.tool,
    nodes.Flow: _Printer.flow,
    nodes.Test: _Printer.test,
}
