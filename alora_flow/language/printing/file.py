"""Syntax tree → canonical text. What a file means never changes: parsing the text again gives the same tree.

Two spaces of indent, lines of 120 characters where they can be broken, brackets only where needed. Comments, the
grouping by blank lines, and the choice to write a short block on one line are the author's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from alora_flow.language.printing.lines import Lines
from alora_flow.language.printing.statements import StatementPrinter, permitted
from alora_flow.language.printing.values import (
    arguments,
    expression,
    string,
    type_text,
)
from alora_flow.language.report.diagnostics import FlowErrors
from alora_flow.language.report.source import Source
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.parser import parse
from alora_flow.language.syntax.scan import Comment

MULTILINE = (nodes.Intrinsic, nodes.FlowDef, nodes.Test)


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


class _Printer(StatementPrinter):
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

    def import_(self, node: nodes.Import) -> None:
        self.out.add(f"import {string(node.file)} as {node.name.text}")

    def model(self, node: nodes.ModelDef) -> None:
        self.out.add(f"model {node.name.text} = {string(node.reference)}")

    def alias(self, node: nodes.Alias) -> None:
        self.out.add(f"type {node.name.text} = {type_text(node.type)}")

    def const(self, node: nodes.Const) -> None:
        type = f": {type_text(node.type)}" if node.type else ""
        self.assign(node, f"const {node.name.text}{type} = ", node.value)

    def enum(self, node: nodes.Enum) -> None:
        self.group(node, f"enum {node.name.text}", node.members, self.member)

    def member(self, node: nodes.Member) -> str:
        return f"{node.name.text} = {string(node.text)}" if node.text else node.name.text

    def record(self, node: nodes.Record) -> None:
        tag = f" tag {expression(node.tag)}" if node.tag else ""
        self.group(node, f"record {node.name.text}{tag}", node.fields, self.field)

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
        with self.out.block(node.name.span.end):
            for item in items:
                self.out.begin(item.span)
                self.doc(item.doc)
                self.out.add(f"{show(item)},")
                self.out.end(item.span)
            self.out.close(node.span)
        self.out.add("}")

    def intrinsic(self, node: nodes.Intrinsic) -> None:
        settings = f" with {arguments(node.settings.arguments)}" if node.settings else ""
        library = f" from {string(node.library)}" if node.library else ""
        tail = f" -> {type_text(node.result)}{library}{settings}{'' if library else ' {'}"
        if library and node.permissions:
            may, parameters = node.permissions[0], ", ".join(map(self.field, node.parameters))
            self.out.hoist(may.clauses[0].span.start if may.clauses else may.span.end)
            self.permission(may, f"intrinsic {node.name.text}({parameters}){tail} {permitted(may)}", "")
            return
        self.head(f"intrinsic {node.name.text}", node.parameters, tail)
        if library:
            return
        with self.out.block((node.settings or node.result).span.end):
            items: list[nodes.Item | nodes.Permission] = [*node.items, *node.permissions]
            for item in sorted(items, key=lambda item: item.span.start):
                self.out.begin(item.span)
                if isinstance(item, nodes.Permission):
                    self.permission(item, permitted(item), "")
                else:
                    self.out.add(f"{item.keyword.text} {self.item_value(item.value)}")
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
        self.head(f"tool {node.name.text}", node.parameters, tail)

    def head(self, start: str, parameters: Sequence[nodes.Parameter], tail: str) -> None:
        """`start(a: str, b: int) tail`, a parameter a line where it is too long or there are comments among them."""
        flat = f"{start}({', '.join(map(self.field, parameters))}){tail}"
        end = self.out.parenthesis(parameters[-1].span) if parameters else None
        if end is None or (self.fits(flat) and not self.out.inside(end)):
            self.out.add(flat)
            return
        self.out.add(f"{start}(")
        with self.out.nested():
            for item in parameters:
                self.out.begin(item.span)
                self.out.add(f"{self.field(item)},")
                self.out.end(item.span)
            self.out.close(end)
        self.out.add(f"){tail}")

    def flow(self, node: nodes.FlowDef) -> None:
        clauses = "".join(f" {self.clause(clause)}" for clause in node.clauses)
        tail = f" -> {type_text(node.result)}{clauses} {{"
        self.head(f"flow {node.name.text}", node.parameters, tail)
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


DECLARATIONS: dict[type, Callable[[_Printer, Any], None]] = {
    nodes.Import: _Printer.import_,
    nodes.ModelDef: _Printer.model,
    nodes.Enum: _Printer.enum,
    nodes.Record: _Printer.record,
    nodes.Alias: _Printer.alias,
    nodes.Const: _Printer.const,
    nodes.Intrinsic: _Printer.intrinsic,
    nodes.Tool: _Printer.tool,
    nodes.FlowDef: _Printer.flow,
    nodes.Test: _Printer.test,
}
