"""Expressions: from what is written to what is meant, with its type."""

from __future__ import annotations

from dataclasses import replace

from alora_flow.language.checking.callees import CALLABLE
from alora_flow.language.checking.calls import call, run
from alora_flow.language.checking.checker import Checker, Rule
from alora_flow.language.checking.choices import common, if_value, match_value
from alora_flow.language.checking.fit import LONGER, conversion, described, wanted
from alora_flow.language.checking.operators import binary, enum_with, is_test, unary
from alora_flow.language.checking.scope import Scope, Symbol, bad, kind_of
from alora_flow.language.meaning.builtins import FUNCTIONS, OWN_NAMES
from alora_flow.language.meaning.folding import folded
from alora_flow.language.meaning.narrowing import path_of
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
    Slice,
    StringHole,
    Text,
    Top,
)
from alora_flow.language.meaning.relations import is_data, join, union
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
    MapType,
    OptionalType,
    ProbType,
    ReplyType,
    StrType,
    ThreadType,
    Type,
    UnionType,
    alternatives,
    fields_of,
)
from alora_flow.language.report.diagnostics import Note, did_you_mean
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.words import FOREIGN, METHODS

FOREIGN_VALUES = ("True", "False", "None", "null", "nil", "undefined")


def _number(node: nodes.Number) -> Expression:
    number = node.value
    type = IntType(number, number) if isinstance(number, int) else FloatType(number, number)
    return Literal(type, node.span, number)


def _string(checker: Checker, node: nodes.String) -> Expression:
    parts: list[str | StringHole] = []
    for part in node.parts:
        parts.append(part if isinstance(part, str) else StringHole(_hole(checker, part)))
    return Text(STR, node.span, tuple(parts))


def _hole(checker: Checker, node: nodes.Expression) -> Expression:
    found = checker.value(node)
    if is_data(found.type):
        return found
    help = conversion(found.type, STR) if isinstance(found.type, (ReplyType, ProbType)) else None
    checker.report.add("E0408", f"a hole takes data, found {described(found)}", found.span, help)
    return bad(node.span)


def _name(checker: Checker, node: nodes.Name, expected: Type | None) -> Expression:
    binding = checker.find(node.text)
    if binding is not None:
        checker.unit.used_ids.add(binding.id)
        return Reference(checker.scope.known((binding.id,), binding.type), node.span, binding)
    symbol = checker.unit.find(node.text)
    if isinstance(symbol, ConstDecl):
        return folded(symbol.value, node.span)
    enum = enum_with(expected, node.text)
    if enum is not None:
        return EnumMember(enum, node.span, node.text)
    broken = symbol is None and (node.text in checker.unit.declared or checker.scope.is_unsure(node.text))
    if expected != ERROR and not broken:
        _report_name(checker, node, symbol, expected)
    return bad(node.span)


def _report_name(checker: Checker, node: nodes.Name, symbol: Symbol | None, expected: Type | None) -> None:
    report, text = checker.report, node.text
    if symbol is not None:
        note = Note(f"'{text}' is declared here", symbol.span)
        help = f"call it: {text}(…)" if isinstance(symbol, (RecordDecl, *CALLABLE)) else None
        if isinstance(symbol, EnumDecl):
            help = f"name a member, as in '{text}.{symbol.type.members[0]}'" if symbol.type.members else None
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
    known = [*checker.scope.names(), *checker.unit.names(ConstDecl)]
    help = FOREIGN[text] if text in FOREIGN_VALUES else did_you_mean(text, known) or _as_member(checker, text)
    report.add("E0302", f"unknown name '{text}'", node.span, help)


def _as_member(checker: Checker, text: str) -> str | None:
    """Where no enum is expected, a member bears the name of its own."""
    enums = [symbol for symbol in checker.unit.symbols.values() if isinstance(symbol, EnumDecl)]
    owner = next((enum.name for enum in enums if text in enum.type.members), None)
    return f"did you mean '{owner}.{text}'?" if owner else None


def _list(checker: Checker, node: nodes.List, expected: Type | None) -> Expression:
    known = next((part.element for part in _parts(expected) if isinstance(part, ListType)), None)
    inner = ERROR if expected == ERROR else known
    items = tuple(checker.value(item, inner) for item in node.items)
    element = common([item.type for item in items], inner) if items else NEVER
    return ListValue(ERROR if element == ERROR else ListType(element), node.span, items)


def _parts(expected: Type | None) -> tuple[Type, ...]:
    return alternatives(expected) if expected is not None else ()


# ------------------------------------------------------------- fields and items


def _access(checker: Checker, node: nodes.Access) -> Expression:
    if isinstance(node.target, nodes.Name) and checker.find(node.target.text) is None:
        found = _qualified(checker, node, node.target)
        if found is not None:
            return found
    target = checker.value(node.target)
    name = node.name.text
    if target.type == ERROR:
        return bad(node.span)
    if isinstance(target.type, ProbType) and name in ("top", "expected"):
        type = fields_of(target.type)[name]
        return Top(type, node.span, target) if name == "top" else Mean(type, node.span, target)
    types = [fields_of(part).get(name) for part in alternatives(target.type)]
    if all(type is not None for type in types):
        field = FieldAccess(join(type for type in types if type is not None), node.span, target, name)
        return _known(checker, field)
    _report_field(checker, node, target)
    return bad(node.span)


def _known(checker: Checker, found: FieldAccess | Index) -> Expression:
    """With the type that tests have found out, as names have it."""
    path = path_of(found)
    return found if path is None else replace(found, type=checker.scope.known(path, found.type))


def _qualified(checker: Checker, node: nodes.Access, qualifier: nodes.Name) -> Expression | None:
    """`Stage.input`, `checks.LIMIT`, `plan.reused`; None when the part before the dot is an ordinary value."""
    unit, name = checker.unit, node.name.text
    if qualifier.text == "plan" and checker.scope.in_test:
        return _plan_field(checker, node)
    if qualifier.text in unit.imports:
        return _imported(checker, node, qualifier.text)
    symbol = unit.find(qualifier.text)
    if isinstance(symbol, EnumDecl):
        return _member(checker, node, symbol.type)
    if symbol is not None and not isinstance(symbol, ConstDecl):
        note = Note(f"'{qualifier.text}' is declared here", symbol.span)
        message = f"'{qualifier.text}' is {kind_of(symbol)} and has no '{name}'"
        unit.report.add("E0305", message, node.span, None, note)
        return bad(node.span)
    return None


def _plan_field(checker: Checker, node: nodes.Access) -> Expression:
    type = PLAN_FIELDS.get(node.name.text)
    if type is not None:
        return PlanField(type, node.span, node.name.text)
    help = did_you_mean(node.name.text, PLAN_FIELDS) or f"known are {', '.join(PLAN_FIELDS)}"
    checker.report.add("E0307", f"the plan has no figure '{node.name.text}'", node.name.span, help)
    return bad(node.span)


def _imported(checker: Checker, node: nodes.Access, alias: str) -> Expression:
    checker.unit.used.add(alias)
    imported = checker.unit.imports[alias]
    symbol = imported.find(node.name.text) if imported else None
    if isinstance(symbol, ConstDecl):
        return folded(symbol.value, node.span)
    if imported is not None and symbol is not None:
        help = f"call it: {alias}.{node.name.text}(…)" if isinstance(symbol, CALLABLE) else None
        message = f"expected a value, and '{alias}.{node.name.text}' is {kind_of(symbol)}"
        checker.report.add("E0305", message, node.span, help)
    elif imported is not None:
        help = did_you_mean(node.name.text, imported.names(ConstDecl))
        checker.report.add("E0302", f"'{alias}' declares no '{node.name.text}'", node.name.span, help)
    return bad(node.span)


def _member(checker: Checker, node: nodes.Access, enum: EnumType) -> Expression:
    if node.name.text in enum.members:
        return EnumMember(enum, node.span, node.name.text)
    help = did_you_mean(node.name.text, enum.members) or f"its members are {', '.join(enum.members)}"
    checker.report.add("E0304", f"'{enum.name}' has no member '{node.name.text}'", node.name.span, help)
    return bad(node.span)


def _report_field(checker: Checker, node: nodes.Access, target: Expression) -> None:
    name = node.name.text
    known = [field for part in alternatives(target.type) for field in fields_of(part)]
    message = f"{described(target)} has no field '{name}'"
    help = did_you_mean(name, known) or (f"its fields are {', '.join(known)}" if known else None)
    if name in known and isinstance(target.type, (OptionalType, UnionType)):
        message = f"not every {described(target)} has a field '{name}'"
        help = "test first which it is, with 'is' or 'match'"
    elif isinstance(target.type, ProbType):
        help = "ask for '.p(outcome)', '.top' or '.expected'"
    elif isinstance(target.type, ThreadType) and name == "text":
        help = LONGER
    elif isinstance(target.type, MapType):
        help = f"write '{target.span.text}[\"{name}\"]'"
    elif isinstance(target.type, EnumType) and name in ("value", "name", "text"):
        help = f'what it is as data, a hole shows: "{{{target.span.text}}}"'
    elif name in METHODS and not known:
        help = f"write '{METHODS[name].format(x=target.span.text)}'"
    checker.report.add("E0303", message, node.name.span, help)


def _slice(checker: Checker, node: nodes.Slice) -> Expression:
    target = checker.value(node.target)
    start, stop = (wanted(checker, end, INT, "an end of a slice") if end else None for end in (node.start, node.stop))
    if isinstance(target.type, (ListType, StrType)):
        return Slice(target.type, node.span, target, start, stop)
    if target.type != ERROR:
        message = f"only strings and lists have slices, and this is {described(target)}"
        checker.report.add("E0402", message, target.span)
    return bad(node.span)


def _index(checker: Checker, node: nodes.Index) -> Expression:
    target = checker.value(node.target)
    if target.type == ERROR:
        checker.value(node.index, ERROR)
        return bad(node.span)
    if isinstance(target.type, MapType):
        key = wanted(checker, node.index, STR, "a key")
        return _known(checker, Index(union([OptionalType(target.type.value)]), node.span, target, key))
    index = wanted(checker, node.index, INT, "an index")
    if isinstance(target.type, ListType):
        return _known(checker, Index(target.type.element, node.span, target, index))
    if target.type != ERROR:
        message = f"only lists and maps have elements, and this is {described(target)}"
        help = "a piece of a string is a slice, as in '[0:1]'" if isinstance(target.type, StrType) else None
        checker.report.add("E0402", message, target.span, help)
    return bad(node.span)


# ------------------------------------------------------------------- the table

RULES: dict[type, Rule] = {
    nodes.Number: lambda checker, node, expected: _number(node),
    nodes.Duration: lambda checker, node, expected: Literal(DURATION, node.span, node.seconds),
    nodes.Boolean: lambda checker, node, expected: Literal(BOOL, node.span, node.value),
    nodes.NoneValue: lambda checker, node, expected: Literal(NONE, node.span, None),
    nodes.String: lambda checker, node, expected: _string(checker, node),
    nodes.Name: _name,
    nodes.List: _list,
    nodes.Access: lambda checker, node, expected: _access(checker, node),
    nodes.Index: lambda checker, node, expected: _index(checker, node),
    nodes.Slice: lambda checker, node, expected: _slice(checker, node),
    nodes.CallNode: call,
    nodes.RunOn: lambda checker, node, expected: run(checker, node),
    nodes.Unary: lambda checker, node, expected: unary(checker, node),
    nodes.Binary: binary,
    nodes.IfValue: if_value,
    nodes.MatchValue: match_value,
    nodes.IsTest: lambda checker, node, expected: is_test(checker, node),
}


def reader(scope: Scope) -> Checker:
    """The checker for what stands in a scope."""
    return Checker(scope, RULES)
