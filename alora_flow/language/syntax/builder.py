"""From the parser's rules to nodes: one method a rule, called bottom-up while the text is being read (no recursion).

The parser keeps all tokens, and every `[…]` of the grammar that is absent leaves its `None`s, so children stand at
fixed places; lists are picked by class. A rule without a method is a mistake of ours and raises.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from lark import Token, Tree

from alora_flow.language.report.diagnostics import Diagnostic
from alora_flow.language.report.source import Source, Span
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.strings import HoleText, decode

Children = list[Any]
N = TypeVar("N")

HoleParser = Callable[[HoleText], nodes.Expression | None]


class TreeBuilder(threading.local):
    """Lark calls the methods by the names of rules and aliases. What a parse is about is set by `begin`."""

    source: Source
    base: int
    docs: dict[int, str]
    wrong: list[Diagnostic]
    parse_hole: HoleParser

    def begin(self, source: Source, base: int, docs: dict[int, str], parse_hole: HoleParser) -> list[Diagnostic]:
        """Places count from `base` in `source`; `docs` are the `##` texts by the line that they end on."""
        self.source, self.base, self.docs, self.parse_hole = source, base, docs, parse_hole
        self.wrong = []
        return self.wrong

    def __default__(self, rule: str, children: Children, meta: object) -> Tree[Any]:
        """Rules named `_…` only group: their children become their parent's."""
        if rule.startswith("_"):
            return Tree(rule, children)
        raise AssertionError(f"the grammar's rule '{rule}' has no method")

    # ---------------------------------------------------------------- helpers

    def token(self, token: Any) -> Span:
        return Span(self.source, self.base + token.start_pos, self.base + token.end_pos)

    def place(self, child: Any) -> Span:
        return self.token(child) if isinstance(child, Token) else child.span

    def span(self, children: Children) -> Span:
        """From the first child that is there to the last, with no other span made: it is asked of every node."""
        first: Any = next((child for child in children if child is not None), None)
        if first is None:
            return Span(self.source, self.base, self.base)
        last: Any = children[-1]
        if last is None:
            last = next(child for child in reversed(children) if child is not None)
        start: int = self.base + first.start_pos if isinstance(first, Token) else first.span.start  # type: ignore[operator]
        end: int = self.base + last.end_pos if isinstance(last, Token) else last.span.end  # type: ignore[operator]
        return Span(self.source, start, end)

    def identifier(self, token: Token) -> nodes.Identifier:
        return nodes.Identifier(self.token(token), str(token))

    def maybe_identifier(self, token: Token | None) -> nodes.Identifier | None:
        return None if token is None else self.identifier(token)

    def doc(self, children: Children) -> str:
        """The `##` lines right above the first child, if it is the first on its line."""
        place = self.place(children[0])
        before = self.source.text[place.start - place.column + 1 : place.start]
        return "" if before.strip() else self.docs.get(place.line - 1, "")

    # ----------------------------------------------------------- declarations

    def start(self, c: Children) -> nodes.File:
        return nodes.File(Span(self.source, 0, len(self.source.text)), tuple(c))

    def import_decl(self, c: Children) -> nodes.Import:
        return nodes.Import(self.span(c), c[1], self.identifier(c[3]), self.doc(c))

    def model_decl(self, c: Children) -> nodes.ModelDef:
        return nodes.ModelDef(self.span(c), self.identifier(c[1]), c[3], self.doc(c))

    def enum_decl(self, c: Children) -> nodes.Enum:
        return nodes.Enum(self.span(c), self.identifier(c[1]), pick(c, nodes.Member), self.doc(c))

    def member(self, c: Children) -> nodes.Member:
        return nodes.Member(self.span(c), self.identifier(c[0]), c[2], self.doc(c))

    def record_decl(self, c: Children) -> nodes.Record:
        return nodes.Record(self.span(c), self.identifier(c[1]), pick(c, nodes.Field), c[3], self.doc(c))

    def field(self, c: Children) -> nodes.Field:
        return nodes.Field(self.span(c), self.identifier(c[0]), c[2], c[4], self.doc(c))

    def alias_decl(self, c: Children) -> nodes.Alias:
        return nodes.Alias(self.span(c), self.identifier(c[1]), c[3], self.doc(c))

    def const_decl(self, c: Children) -> nodes.Const:
        return nodes.Const(self.span(c), self.identifier(c[1]), c[3], c[5], self.doc(c))

    def intrinsic_decl(self, c: Children) -> nodes.Intrinsic:
        name, items = self.identifier(c[1]), pick(c, nodes.Item)
        return nodes.Intrinsic(
            self.span(c), name, c[2], c[4], None, c[5], items, pick(c, nodes.Permission), self.doc(c)
        )

    def intrinsic_from(self, c: Children) -> nodes.Intrinsic:
        name, may = self.identifier(c[1]), pick(c, nodes.Permission)
        return nodes.Intrinsic(self.span(c), name, c[2], c[4], c[6], c[7], (), may, self.doc(c))

    def item(self, c: Children) -> nodes.Item:
        value = self.identifier(c[1]) if isinstance(c[1], Token) else c[1]
        return nodes.Item(self.span(c), self.identifier(c[0]), value)

    adapter_item = invoke_item = emits_item = value_item = activate_item = item

    def choices(self, c: Children) -> nodes.Choices:
        return nodes.Choices(self.span(c), pick(c, nodes.String))

    def tool_decl(self, c: Children) -> nodes.Tool:
        name, host = self.identifier(c[1]), self.identifier(c[6])
        return nodes.Tool(self.span(c), name, c[2], c[4], host, c[7], c[8], self.doc(c))

    def settings(self, c: Children) -> nodes.Settings:
        return nodes.Settings(self.span(c[:1]).to(c[1].span), c[1].arguments)

    def flow_decl(self, c: Children) -> nodes.FlowDef:
        return nodes.FlowDef(self.span(c), self.identifier(c[1]), c[2], c[4], c[5], c[6], self.doc(c))

    def clauses(self, c: Children) -> tuple[nodes.Clause, ...]:
        return tuple(c)

    def max_depth(self, c: Children) -> nodes.MaxDepth:
        return nodes.MaxDepth(self.span(c), c[1])

    def speculate(self, c: Children) -> nodes.Speculate:
        return nodes.Speculate(self.span(c))

    def budget(self, c: Children) -> nodes.Budget:
        return nodes.Budget(self.span(c), pick(c, nodes.Limit))

    def limit(self, c: Children) -> nodes.Limit:
        return nodes.Limit(self.span(c), self.identifier(c[0]), c[2])

    def test_decl(self, c: Children) -> nodes.Test:
        return nodes.Test(self.span(c), c[1], c[2], self.doc(c))

    def parameters(self, c: Children) -> tuple[nodes.Parameter, ...]:
        return pick(c, nodes.Parameter)

    def parameter(self, c: Children) -> nodes.Parameter:
        return nodes.Parameter(self.span(c), self.identifier(c[0]), c[2], c[4])

    # ------------------------------------------------------------------ types

    def type(self, c: Children) -> nodes.TypeNode:
        members: list[nodes.TypeNode] = []
        for member in nodes_of(c):
            members += member.members if isinstance(member, nodes.UnionTypeNode) else [member]
        return members[0] if len(members) == 1 else nodes.UnionTypeNode(self.span(c), tuple(members))

    def type_name(self, c: Children) -> nodes.NamedType:
        return nodes.NamedType(self.span(c), self.callee(c))

    def type_range(self, c: Children) -> nodes.RangeType:
        return nodes.RangeType(self.span(c), self.identifier(c[0]), c[2], c[4])

    def type_list(self, c: Children) -> nodes.GenericType:
        return nodes.GenericType(self.span(c), self.identifier(c[0]), c[2])

    def type_none(self, c: Children) -> nodes.NoneTypeNode:
        return nodes.NoneTypeNode(self.span(c))

    def type_optional(self, c: Children) -> nodes.TypeNode:
        (inner,) = nodes_of(c)
        return inner if isinstance(inner, nodes.OptionalTypeNode) else nodes.OptionalTypeNode(self.span(c), inner)

    def bound(self, c: Children) -> nodes.Number:
        return self.checked(nodes.Number(self.span(c), "".join(part for part in c if part)))

    # ------------------------------------------------------------- statements

    def block(self, c: Children) -> nodes.Block:
        return nodes.Block(self.span(c), tuple(c[1:-1]))

    def do(self, c: Children) -> nodes.Do:
        return nodes.Do(self.span(c), c[0])

    def let(self, c: Children) -> nodes.Let:
        return nodes.Let(self.span(c), self.identifier(c[1]), c[3], c[5])

    def thread(self, c: Children) -> nodes.Thread:
        return nodes.Thread(self.span(c), self.identifier(c[1]), c[3])

    def if_(self, c: Children) -> nodes.If:
        return nodes.If(self.span(c), c[1], c[2], c[4])

    def match(self, c: Children) -> nodes.Match:
        return nodes.Match(self.span(c), c[1], pick(c, nodes.Arm))

    def arm(self, c: Children) -> nodes.Arm:
        patterns = tuple(child for child in c if isinstance(child, (nodes.TypePattern, nodes.ValuePattern)))
        return nodes.Arm(self.span(c), patterns, self.maybe_identifier(c[-3]), c[-1])

    def type_pattern(self, c: Children) -> nodes.TypePattern:
        return nodes.TypePattern(self.span(c), c[0])

    def value_pattern(self, c: Children) -> nodes.ValuePattern:
        return nodes.ValuePattern(self.span(c), c[0])

    def return_(self, c: Children) -> nodes.Return:
        return nodes.Return(self.span(c), c[1])

    def require(self, c: Children) -> nodes.Require:
        return nodes.Require(self.span(c), c[1], c[3])

    def keep(self, c: Children) -> nodes.Keep:
        return nodes.Keep(self.span(c), c[1], c[3])

    def accept(self, c: Children) -> nodes.Accept:
        return nodes.Accept(self.span(c), c[1], c[3])

    def next(self, c: Children) -> nodes.Next:
        return nodes.Next(self.span(c), pick(c, nodes.State))

    def mock(self, c: Children) -> nodes.Mock:
        return nodes.Mock(self.span(c), c[1], c[2].arguments, c[4], nodes_of(c[5:]))

    def failing(self, c: Children) -> nodes.Failing:
        return nodes.Failing(self.span(c), c[1])

    def invoking(self, c: Children) -> nodes.Invoking:
        return nodes.Invoking(self.span(c), c[1], c[2].arguments if c[2] else ())

    def expect(self, c: Children) -> nodes.Expect:
        return nodes.Expect(self.span(c), c[1])

    def for_(self, c: Children) -> nodes.For:
        return nodes.For(self.span(c), self.identifier(c[1]), c[3], c[5], c[-1], c[-2] is not None and c[5] is not None)

    def repeat(self, c: Children) -> nodes.Repeat:
        rounds, body, otherwise = c[-4], c[-3], c[-1]
        return nodes.Repeat(self.span(c), pick(c, nodes.State), rounds, body, otherwise)

    def state(self, c: Children) -> nodes.State:
        return nodes.State(self.span(c), self.identifier(c[0]), c[2])

    def may_invoke(self, c: Children) -> nodes.MayInvoke:
        return nodes.MayInvoke(self.span(c), c[0], c[1])

    def permission(self, c: Children) -> nodes.Permission:
        limits = {getattr(child, "type", ""): c[place + 1] for place, child in enumerate(c[:-1])}
        callees, clauses = pick(c, nodes.Qualified), pick(c, nodes.OnClause)
        return nodes.Permission(self.span(c), callees, limits.get("BUDGET"), limits.get("DEPTH"), clauses)

    def attempt(self, c: Children) -> nodes.Attempt:
        otherwise = c[4] if isinstance(c[4], nodes.Block) else c[5]
        return nodes.Attempt(self.span(c), c[0], self.maybe_identifier(c[3]), otherwise)

    def on_clause(self, c: Children) -> nodes.OnClause:
        return nodes.OnClause(self.span(c), c[1], self.maybe_identifier(c[3]), c[6], c[8])

    def action(self, c: Children) -> nodes.Identifier:
        return self.identifier(c[0])

    def callee(self, c: Children) -> nodes.Qualified:
        names = [self.identifier(token) for token in c if token is not None and token != "."]
        return nodes.Qualified(self.span(c), names[0] if len(names) > 1 else None, names[-1])

    # ------------------------------------------------------------ expressions

    def binary(self, c: Children) -> nodes.Binary:
        return nodes.Binary(self.span(c), str(c[1]), c[0], c[2], self.token(c[1]))

    def unary(self, c: Children) -> nodes.Unary:
        operator: Any = str(c[0])
        return nodes.Unary(self.span(c), operator, c[1])

    def is_test(self, c: Children) -> nodes.IsTest:
        return nodes.IsTest(self.span(c), c[0], c[3], c[2] is not None)

    def run(self, c: Children) -> nodes.RunOn:
        return nodes.RunOn(self.span(c), c[0], c[2], None)

    def run_on(self, c: Children) -> nodes.RunOn:
        if c[2] is not None and c[6] is not None:
            self.wrong.append(Diagnostic("E0101", "'as' stands here twice", c[6].span, "leave one of them out"))
        return nodes.RunOn(self.span(c), c[0], c[2] or c[6], c[4])

    def access(self, c: Children) -> nodes.Access:
        return nodes.Access(self.span(c), c[0], self.identifier(c[2]))

    def index(self, c: Children) -> nodes.Index:
        return nodes.Index(self.span(c), c[0], c[2])

    def slice(self, c: Children) -> nodes.Slice:
        return nodes.Slice(self.span(c), c[0], c[2], c[4])

    def not_in(self, c: Children) -> nodes.Binary:
        return nodes.Binary(self.span(c), "not in", c[0], c[3], self.span(c[1:3]))

    def call(self, c: Children) -> nodes.CallNode:
        return nodes.CallNode(self.span(c), c[0], c[1].arguments)

    def arguments(self, c: Children) -> nodes.Settings:
        return nodes.Settings(self.span(c), pick(c, nodes.Argument))

    def argument(self, c: Children) -> nodes.Argument:
        return nodes.Argument(self.span(c), None, c[0])

    def named_argument(self, c: Children) -> nodes.Argument:
        return nodes.Argument(self.span(c), self.identifier(c[0]), c[2])

    def group(self, c: Children) -> nodes.Expression:
        expression: nodes.Expression = c[1]
        return expression

    def if_value(self, c: Children) -> nodes.IfValue:
        return nodes.IfValue(self.span(c), c[1], c[3], c[-1] if isinstance(c[-1], nodes.IfValue) else c[-2])

    def match_value(self, c: Children) -> nodes.MatchValue:
        return nodes.MatchValue(self.span(c), c[1], pick(c, nodes.ValueArm))

    def value_arm(self, c: Children) -> nodes.ValueArm:
        patterns = tuple(child for child in c[:-5] if isinstance(child, (nodes.TypePattern, nodes.ValuePattern)))
        return nodes.ValueArm(self.span(c), patterns, self.maybe_identifier(c[-5]), c[-2])

    def name(self, c: Children) -> nodes.Name:
        return nodes.Name(self.span(c), str(c[0]))

    def true(self, c: Children) -> nodes.Boolean:
        return nodes.Boolean(self.span(c), True)

    def false(self, c: Children) -> nodes.Boolean:
        return nodes.Boolean(self.span(c), False)

    def none(self, c: Children) -> nodes.NoneValue:
        return nodes.NoneValue(self.span(c))

    def list(self, c: Children) -> nodes.List:
        return nodes.List(self.span(c), nodes_of(c))

    def int(self, c: Children) -> nodes.Number:
        return self.checked(nodes.Number(self.span(c), str(c[0])))

    float = int

    def duration(self, c: Children) -> nodes.Duration:
        return nodes.Duration(self.span(c), str(c[0]))

    def checked(self, number: nodes.Number) -> nodes.Number:
        try:
            fits = abs(number.value) != float("inf")
        except ValueError:
            fits = False
        if not fits:
            message = "this number is too large to be held"
            self.wrong.append(Diagnostic("E0107", message, number.span))
            return nodes.Number(number.span, "0")
        return number

    def string(self, c: Children) -> nodes.String:
        span, block = self.token(c[0]), c[0].type == "BLOCK_STRING"
        pieces, wrong = decode(span, block)
        self.wrong += wrong
        parts = [piece if isinstance(piece, str) else self.hole(piece) for piece in pieces]
        return nodes.String(span, tuple(part for part in parts if part is not None), block)

    def hole(self, hole: HoleText) -> nodes.Expression | None:
        return self.parse_hole(hole)


def nodes_of(children: Children) -> tuple[Any, ...]:
    return tuple(child for child in children if isinstance(child, nodes.Node))


def pick(children: Children, kind: type[N]) -> tuple[N, ...]:
    return tuple(child for child in children if isinstance(child, kind))
