"""Expressions: from what is written to what is meant, with its type."""

from __future__ import annotations

from alora_flow.language.checking.callees import CALLABLE
from alora_flow.language.checking.calls import call, run
from alora_flow.language.checking.fit import conversion, described, fit
from alora_flow.language.checking.operators import binary, enum_with, is_test, unary
from alora_flow.language.checking.scope import Checker, Scope, Symbol, bad, kind_of
from alora_flow.language.meaning.builtins import FUNCTIONS, OWN_NAMES
from alora_flow.language.meaning.folding import folded
from alora_flow.language.meaning.program import (
    PLAN_FIELDS,
    ConstDecl,
    EnumDecl,
    EnumMember,
    Expression,
    FieldAccess,
    Index,
    ListValue,
    Literal,
    Mean,
    PlanField,
    RecordDecl,
    Reference,
    StringHole,
    Text,
    Top,
)
from alora_flow.language.meaning.types import (
    BOOL,
    DURATION,
    ERROR,
    INT,
    NEVER,
    NONE,
    STR,
    EnumType,
    FloatType,
    IntType,
    ListType,
    OptionalType,
    ProbType,
    ReplyType,
    Type,
    UnionType,
    alternatives,
    fields_of,
    is_data,
    union,
)
from alora_flow.language.report.diagnostics import Note, did_you_mean
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.words import FOREIGN

FOREIGN_VALUES = ("True", "False", "None", "null")


class Values(Checker):
    """All expressions of the language."""

    def value(self, node: nodes.Expression, expected: Type | None = None) -> Expression:
        """`expected` only helps to find enum members; it is `fit` that demands. Where it is the error type, a bare name
        may be a member of an enum that is not known, and nothing is said."""
        match node:
            case nodes.Number():
                return _number(node)
            case nodes.Duration():
                return Literal(DURATION, node.span, node.seconds)
            case nodes.Boolean():
                return Literal(BOOL, node.span, node.value)
            case nodes.NoneValue():
                return Literal(NONE, node.span, None)
            case nodes.String():
                return _string(self.scope, node)
            case nodes.Name():
                return _name(self.scope, node, expected)
            case nodes.List():
                return _list(self.scope, node, expected)
            case nodes.Access():
                return _access(self.scope, node)
            case nodes.Index():
                return _index(self.scope, node)
            case nodes.CallNode():
                return call(self, node, expected)
            case nodes.RunOn():
                return run(self, node)
            case nodes.Unary():
                return unary(self, node)
            case nodes.Binary():
                return binary(self, node, expected)
            case nodes.IsTest():
                return is_test(self, node)
        raise AssertionError(f"{type(node).__name__} stands in statements only")


def value(scope: Scope, node: nodes.Expression, expected: Type | None = None) -> Expression:
    """What an expression means at a place."""
    return Values(scope).value(node, expected)


def wanted(scope: Scope, node: nodes.Expression, type: Type, what: str = "", *notes: Note) -> Expression:
    """The value of `node`, which must be of this type."""
    return fit(scope, value(scope, node, type), type, what, *notes)


def _number(node: nodes.Number) -> Expression:
    number = node.value
    type = IntType(number, number) if isinstance(number, int) else FloatType(number, number)
    return Literal(type, node.span, number)


def _string(scope: Scope, node: nodes.String) -> Expression:
    parts: list[str | StringHole] = []
    for part in node.parts:
        parts.append(part if isinstance(part, str) else StringHole(_hole(scope, part)))
    return Text(STR, node.span, tuple(parts))


def _hole(scope: Scope, node: nodes.Expression) -> Expression:
    found = value(scope, node)
    if is_data(found.type):
        return found
    help = conversion(found.type, STR) if isinstance(found.type, (ReplyType, ProbType)) else None
    scope.unit.report.add("E0408", f"a hole takes data, found {found.type}", found.span, help)
    return bad(node.span)


def _name(scope: Scope, node: nodes.Name, expected: Type | None) -> Expression:
    binding = scope.find(node.text)
    if binding is not None:
        scope.unit.used_ids.add(binding.id)
        return Reference(scope.type_of(binding), node.span, binding)
    symbol = scope.unit.find(node.text)
    if isinstance(symbol, ConstDecl):
        return folded(symbol.value, node.span)
    enum = enum_with(expected, node.text)
    if enum is not None:
        return EnumMember(enum, node.span, node.text)
    silent = expected == ERROR or (node.text in scope.unit.declared and symbol is None)
    if not silent:
        _report_name(scope, node, symbol, expected)
    return bad(node.span)


def _report_name(scope: Scope, node: nodes.Name, symbol: Symbol | None, expected: Type | None) -> None:
    report, text = scope.unit.report, node.text
    if symbol is not None:
        note = Note(f"'{text}' is declared here", symbol.span)
        help = f"call it: {text}(…)" if isinstance(symbol, (RecordDecl, *CALLABLE)) else None
        report.add("E0305", f"expected a value, and '{text}' is {kind_of(symbol)}", node.span, help, note)
        return
    if text in FUNCTIONS or text in OWN_NAMES:
        help = "only tests can read the plan" if text == "plan" else f"call it: {text}(…)"
        report.add("E0305", f"expected a value, and '{text}' is a word of the language", node.span, help)
        return
    enums = [part for part in alternatives(expected) if isinstance(part, EnumType)] if expected is not None else []
    if enums:
        help = did_you_mean(text, enums[0].members) or f"its members are {', '.join(enums[0].members)}"
        report.add("E0304", f"'{enums[0].name}' has no member '{text}'", node.span, help)
        return
    known = [*scope.names(), *scope.unit.names(ConstDecl)]
    help = FOREIGN[text] if text in FOREIGN_VALUES else did_you_mean(text, known)
    report.add("E0302", f"unknown name '{text}'", node.span, help)


def _list(scope: Scope, node: nodes.List, expected: Type | None) -> Expression:
    inner = next((part.element for part in _parts(expected) if isinstance(part, ListType)), None)
    items = tuple(value(scope, item, inner) for item in node.items)
    element: Type = union(item.type for item in items) if items else NEVER
    if any(item.type == ERROR for item in items):
        element = ERROR
    return ListValue(ListType(element), node.span, items)


def _parts(expected: Type | None) -> tuple[Type, ...]:
    return alternatives(expected) if expected is not None else ()


# ------------------------------------------------------------- fields and items


def _access(scope: Scope, node: nodes.Access) -> Expression:
    if isinstance(node.target, nodes.Name) and scope.find(node.target.text) is None:
        found = _qualified(scope, node, node.target)
        if found is not None:
            return found
    target = value(scope, node.target)
    name = node.name.text
    if target.type == ERROR:
        return bad(node.span)
    if isinstance(target.type, ProbType) and name in ("top", "expected"):
        type = fields_of(target.type)[name]
        return Top(type, node.span, target) if name == "top" else Mean(type, node.span, target)
    types = [fields_of(part).get(name) for part in alternatives(target.type)]
    if all(type is not None for type in types):
        return FieldAccess(union(type for type in types if type is not None), node.span, target, name)
    _report_field(scope, node, target)
    return bad(node.span)


def _qualified(scope: Scope, node: nodes.Access, qualifier: nodes.Name) -> Expression | None:
    """`Stage.input`, `checks.LIMIT`, `plan.reused`; None when the part before the dot is an ordinary value."""
    unit, name = scope.unit, node.name.text
    if qualifier.text == "plan" and scope.in_test:
        return _plan_field(scope, node)
    if qualifier.text in unit.imports:
        return _imported(scope, node, qualifier.text)
    symbol = unit.find(qualifier.text)
    if isinstance(symbol, EnumDecl):
        return _member(scope, node, symbol.type)
    if symbol is not None and not isinstance(symbol, ConstDecl):
        note = Note(f"'{qualifier.text}' is declared here", symbol.span)
        message = f"'{qualifier.text}' is {kind_of(symbol)} and has no '{name}'"
        unit.report.add("E0305", message, node.span, None, note)
        return bad(node.span)
    return None


def _plan_field(scope: Scope, node: nodes.Access) -> Expression:
    type = PLAN_FIELDS.get(node.name.text)
    if type is not None:
        return PlanField(type, node.span, node.name.text)
    help = did_you_mean(node.name.text, PLAN_FIELDS) or f"known are {', '.join(PLAN_FIELDS)}"
    scope.unit.report.add("E0307", f"the plan has no figure '{node.name.text}'", node.name.span, help)
    return bad(node.span)


def _imported(scope: Scope, node: nodes.Access, alias: str) -> Expression:
    scope.unit.used.add(alias)
    imported = scope.unit.imports[alias]
    symbol = imported.find(node.name.text) if imported else None
    if isinstance(symbol, ConstDecl):
        return folded(symbol.value, node.span)
    if imported is not None and symbol is not None:
        help = f"call it: {alias}.{node.name.text}(…)" if isinstance(symbol, CALLABLE) else None
        message = f"expected a value, and '{alias}.{node.name.text}' is {kind_of(symbol)}"
        scope.unit.report.add("E0305", message, node.span, help)
    elif imported is not None:
        help = did_you_mean(node.name.text, imported.names(ConstDecl))
        scope.unit.report.add("E0302", f"'{alias}' declares no '{node.name.text}'", node.name.span, help)
    return bad(node.span)


def _member(scope: Scope, node: nodes.Access, enum: EnumType) -> Expression:
    if node.name.text in enum.members:
        return EnumMember(enum, node.span, node.name.text)
    help = did_you_mean(node.name.text, enum.members) or f"its members are {', '.join(enum.members)}"
    scope.unit.report.add("E0304", f"'{enum.name}' has no member '{node.name.text}'", node.name.span, help)
    return bad(node.span)


def _report_field(scope: Scope, node: nodes.Access, target: Expression) -> None:
    name = node.name.text
    known = [field for part in alternatives(target.type) for field in fields_of(part)]
    message = f"{described(target)} has no field '{name}'"
    help = did_you_mean(name, known) or (f"its fields are {', '.join(known)}" if known else None)
    if name in known and isinstance(target.type, (OptionalType, UnionType)):
        message = f"not every {target.type} has a field '{name}'"
        help = "test first which it is, with 'is' or 'match'"
    elif isinstance(target.type, ProbType):
        help = "ask for '.p(outcome)', '.top' or '.expected'"
    scope.unit.report.add("E0303", message, node.name.span, help)


def _index(scope: Scope, node: nodes.Index) -> Expression:
    target = value(scope, node.target)
    index = wanted(scope, node.index, INT, "an index")
    if isinstance(target.type, ListType):
        return Index(target.type.element, node.span, target, index)
    if target.type != ERROR:
        message = f"only lists have elements, and this is {described(target)}"
        scope.unit.report.add("E0402", message, target.span)
    return bad(node.span)
