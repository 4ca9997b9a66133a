"""A graph as text, one node a line, and back: what passes are tested on, and what `alora-flow show graph` prints.

    flow ask
      question: str = input(question)
      asked: thread = thread(turn("user", %question))
      safe: bool = invoke(%asked, @safety, [])
      if: bool = condition(%safe)
      return: str = return(text(["yes"])) when +if

A line is `id: type = operation`, then `when` and the guards (`+if`: it holds, `-if`: it does not), `early` for a node
that may start before they are decided, and `mocked` with its rules. An operation or expression is its class in lower
case (`turn` for a TurnValue) with its fields; its type follows in `<…>` where that is not the usual one. `%id` is the
value of a node, `@key` a declaration of the program, `name = value` an argument (`name ?= value`: filled in by
default), `{…}` a hole in a string.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, get_args

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, VisitError

from alora_flow.errors import BadInput
from alora_flow.language.meaning import program as p
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Argument, Declaration, Expression, Program
from alora_flow.language.report.source import Source, Span
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph, Guard, Node, NodeValue
from alora_flow.planning.graph.type_text import TypeNames

T = TypeVar("T")

GRAMMAR = r"""
    start: head (_NEWLINE line)* _NEWLINE?
    head: "flow" KEY -> flow | "test" STRING -> test
    ?line: node | NAME arguments -> part
    node: "%" ID ":" TYPE call when? early? mocked?
    when: "when" guard+
    early: "early"
    mocked: "mocked" list
    ?value: call | list | guard | STRING -> string | NUMBER -> number
          | "true" -> true | "false" -> false | "none" -> none
          | "%" ID TYPED? -> read | "@" KEY -> declaration | TYPED -> type
          | "{" value "}" -> hole | NAME "=" value -> given | NAME "?=" value -> filled
    call: NAME arguments TYPED?
    arguments: "(" (value ("," value)*)? ")"
    list: "[" (value ("," value)*)? "]"
    guard: "+" ID -> holds | "-" ID -> fails
    ID: /[^\W\d]\w*(\[\d+\])?(\.[^\W\d]\w*(\[\d+\])?)*/
    NAME: /[^\W\d]\w*/
    KEY: /[^\W\d]\w*(\.[^\W\d]\w*)*/
    STRING: /"(\\.|[^"\\])*"/
    NUMBER: /-?(\d[\d.]*(e[+-]?\d+)?|inf)/
    TYPED: /<[^<>]*>/
    TYPE: /[^=\n]+=/
    _NEWLINE: /\s*\n\s*/
    %ignore / +/
"""

PARTS = (g.Budget, g.Inlined, g.MockRule, g.CalleeMock, p.MayInvoke, p.OnClause, p.Binding, p.Limit)
LOWERED = (
    p.Reference,
    p.MatchValue,
    p.Generate,
    p.Invoke,
    p.ToolCall,
    p.FlowCall,
    p.For,
    p.Repeat,
    p.Attempt,
    p.Calls,
    p.PlanField,
)
"""Expressions of the program of which lowering makes nodes; a Reference stays in `may invoke` only."""

USUAL: dict[type, Callable[..., t.Type]] = {
    p.Text: lambda parts: t.STR,
    p.TurnValue: lambda role, content: t.THREAD,
    p.Join: lambda parts: t.THREAD,
    p.IsTest: lambda operand, tested, negated: t.BOOL,
    p.Literal: lambda value: _LITERAL[type(value)](value),
    p.Unary: lambda operator, operand: t.BOOL if operator == "not" else operand.type,
    p.Binary: lambda operator, left, right: t.STR if operator == "+" else t.BOOL,
}
"""The type that an expression has unless its text says another, from its fields."""

_LITERAL: dict[type, Callable[[Any], t.Type]] = {
    int: lambda value: t.IntType(value, value),
    float: lambda value: t.FloatType(value, value),
    bool: lambda value: t.BOOL,
    type(None): lambda value: t.NONE,
}


@cache
def _kinds() -> dict[str, type]:
    """Classes by the names that stand for them."""
    named = (kind for kind in vars(p).values() if isinstance(kind, type) and issubclass(kind, Expression))
    expressions = (kind for kind in named if kind not in LOWERED)
    return {_name(kind): kind for kind in (*get_args(g.Operation), *expressions, *PARTS, p.Reference)}


def _name(kind: type) -> str:
    """`turn` for a TurnValue."""
    name = kind.__name__.lower()
    return name.removesuffix("value") or name


def _usual(kind: type, values: Sequence[Any]) -> t.Type | None:
    return USUAL[kind](*values) if kind in USUAL else None


# ----------------------------------------------------------------------- printing


def print_graph(graph: FlowGraph, program: Program) -> str:
    """The text of a graph of this program's; `parse_graph` reads it back as an equal graph."""
    printer = _Printer(graph, TypeNames(program))
    head = f"flow {graph.flow.key}" if graph.flow.key in program.flows else f"test {_string(graph.flow.name)}"
    parts = map(printer.value, (*graph.budgets, *graph.inlined))
    return "\n  ".join([head, *map(printer.node, graph.nodes.values()), *parts]) + "\n"


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


class _Printer:
    def __init__(self, graph: FlowGraph, types: TypeNames) -> None:
        self.graph, self.types = graph, types

    def node(self, node: Node) -> str:
        line = f"%{node.id}: {self.types.show(node.type)} = {self.value(node.operation)}"
        if node.guards:
            line += f" when {' '.join(map(self.value, node.guards))}"
        line += " early" * node.speculative
        return line + (f" mocked {self.value(node.mocks)}" if node.mocks else "")

    def value(self, part: Any) -> str:
        """Anything that stands in a node."""
        if isinstance(part, t.Type):
            return self._typed(part, None)
        match part:
            case None | bool():
                return {None: "none", True: "true", False: "false"}[part]
            case str():
                return _string(part)
            case int() | float():
                return repr(part)
            case tuple():
                return f"[{', '.join(map(self.value, part))}]"
            case Guard(condition, holds):
                return f"{'+' if holds else '-'}{condition}"
            case NodeValue(node=node):
                return f"%{node}{self._typed(part.type, self.graph.nodes[node].type)}"
            case Argument(name, value, given):
                return f"{name} {'=' if given else '?='} {self.value(value)}"
            case p.StringHole(value):
                return f"{{{self.value(value)}}}"
            case p.Parameter():
                return _string(part.name)
            case Declaration():
                return f"@{part.key}"
        return self._made(part)

    def _made(self, part: Any) -> str:
        values = [getattr(part, name) for name in _field_names(type(part))]
        typed = self._typed(part.type, _usual(type(part), values)) if isinstance(part, Expression) else ""
        return f"{_name(type(part))}({', '.join(map(self.value, values))}){typed}"

    def _typed(self, type: t.Type, usual: t.Type | None) -> str:
        return "" if type == usual else f"<{self.types.show(type)}>"


def _field_names(kind: type) -> list[str]:
    """What is printed of a class: its place in the source is not, and an expression's type follows it."""
    return [item.name for item in fields(kind) if item.name not in ("span", "type" * issubclass(kind, Expression))]


# ------------------------------------------------------------------------ parsing


def parse_graph(text: str, program: Program) -> FlowGraph:
    """The graph that a text describes. Spans are those of the text. Raises BadInput with the line."""
    try:
        return _Reader(program, Source("<graph>", text)).transform(_parser().parse(text))  # type: ignore[no-any-return]
    except UnexpectedInput as error:
        raise BadInput(f"line {error.line} of the graph: {text.splitlines()[error.line - 1].strip()!r}") from error
    except VisitError as error:
        raise BadInput(f"the graph: {error.orig_exc}") from error.orig_exc


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", lexer="contextual", propagate_positions=True)


@v_args(inline=True)
class _Reader(Transformer[Token, Any]):
    """Called bottom-up, so that a node's type is known to the nodes after it."""

    def __init__(self, program: Program, source: Source) -> None:
        super().__init__()
        self.program, self.source, self.names = program, source, TypeNames(program)
        self.types: dict[str, t.Type] = {}

    def start(self, flow: p.FlowDecl, *parts: Any) -> FlowGraph:
        budgets = tuple(part for part in parts if isinstance(part, g.Budget))
        inlined = tuple(part for part in parts if isinstance(part, g.Inlined))
        return FlowGraph(flow, {part.id: part for part in parts if isinstance(part, Node)}, budgets, inlined)

    def flow(self, key: Token) -> p.FlowDecl:
        self._flow = _known(self.program.flows, key, "flow")
        return self._flow

    def test(self, title: Token) -> p.FlowDecl:
        self._flow = g.flow_of_test(_known({test.name: test for test in self.program.tests}, json.loads(title), "test"))
        return self._flow

    def node(self, node_id: Token, type: Token, operation: g.Operation, *after: Any) -> Node:
        if node_id in self.types:
            raise ValueError(f"there are two nodes '{node_id}'")
        self.types[str(node_id)] = self.names.read(type.removesuffix("="))
        rest = dict(after)
        guards, mocks = rest.get("when", ()), rest.get("mocked", ())
        span, early = self._span(node_id), "early" in rest
        return Node(str(node_id), operation, self.types[node_id], guards, span, mocks, early)

    def when(self, *guards: Guard) -> tuple[str, g.Path]:
        return "when", guards

    def early(self) -> tuple[str, bool]:
        return "early", True

    def mocked(self, rules: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
        return "mocked", rules

    def call(self, name: Token, arguments: tuple[Any, ...], typed: Token | None = None) -> Any:
        kind = _known(_kinds(), name, "operation or expression")
        if kind is g.Input:
            return g.Input(_known({item.name: item for item in self._flow.parameters}, arguments[0], "parameter"))
        wanted = _field_names(kind)
        if len(arguments) != len(wanted):
            raise ValueError(f"{name} takes {', '.join(wanted)}, not {len(arguments)} values")
        values = dict(zip(wanted, arguments, strict=True))
        if issubclass(kind, Expression):
            values["type"] = _usual(kind, arguments) if typed is None else self.names.read(typed[1:-1])
        if "span" in {item.name for item in fields(kind)}:
            values["span"] = self._span(name)
        return kind(**values)

    part = call

    def arguments(self, *values: Any) -> tuple[Any, ...]:
        return values

    list = arguments

    def read(self, node_id: Token, typed: Token | None = None) -> NodeValue:
        usual = _known(self.types, node_id, "node before this one")
        return NodeValue(usual if typed is None else self.names.read(typed[1:-1]), self._span(node_id), str(node_id))

    def holds(self, node_id: Token) -> Guard:
        return Guard(str(node_id), True)

    def fails(self, node_id: Token) -> Guard:
        return Guard(str(node_id), False)

    def declaration(self, key: Token) -> Declaration:
        return _known({**self.program.intrinsics, **self.program.tools}, key, "intrinsic or tool")

    def type(self, typed: Token) -> t.Type:
        return self.names.read(typed[1:-1])

    def hole(self, value: Expression) -> p.StringHole:
        return p.StringHole(value)

    def given(self, name: Token, value: Expression) -> Argument:
        return Argument(str(name), value, True)

    def filled(self, name: Token, value: Expression) -> Argument:
        return Argument(str(name), value, False)

    def string(self, text: Token) -> str:
        return str(json.loads(text))

    def number(self, text: Token) -> int | float:
        return int(text) if text.lstrip("-").isdigit() else float(text)

    def true(self) -> bool:
        return True

    def false(self) -> bool:
        return False

    def none(self) -> None:
        return None

    def _span(self, token: Token) -> Span:
        assert token.start_pos is not None
        assert token.end_pos is not None
        return self.source.span(token.start_pos, token.end_pos)


def _known(names: Mapping[str, T], name: str, what: str) -> T:
    if name not in names:
        raise ValueError(f"there is no {what} '{name}'")
    return names[name]
