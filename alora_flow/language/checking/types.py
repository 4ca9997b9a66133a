"""From a type as it is written to the type that is meant."""

from __future__ import annotations

from collections.abc import Callable

from alora_flow.language.checking.scope import Symbol, Unit, kind_of
from alora_flow.language.meaning.program import AliasDecl, EnumDecl, RecordDecl
from alora_flow.language.meaning.relations import assignable, is_data, is_lasting, look_alike, union
from alora_flow.language.meaning.types import (
    BOOL,
    CHAT,
    DOCUMENT,
    ERROR,
    FLOAT,
    INT,
    NONE,
    REPLY,
    STR,
    THREAD,
    BoolType,
    EnumType,
    FloatType,
    IntType,
    ListType,
    MapType,
    OptionalType,
    ProbType,
    RecordType,
    Type,
)
from alora_flow.language.report.diagnostics import Note, did_you_mean
from alora_flow.language.report.source import Span
from alora_flow.language.syntax import nodes

SIMPLE: dict[str, Type] = {
    "str": STR,
    "int": INT,
    "float": FLOAT,
    "bool": BOOL,
    "document": DOCUMENT,
    "chat": CHAT,
    "thread": THREAD,
    "reply": REPLY,
}
DATA = "data are str, int, float, bool, enums, records, documents, chats, and lists and maps of these"
GENERIC = ("list", "map", "prob")
TYPE_NAMES = (*SIMPLE, *GENERIC)
TypeSymbol = EnumDecl | RecordDecl | AliasDecl


def resolve(unit: Unit, node: nodes.TypeNode) -> Type:
    """Reports what is wrong; what is wrong has the error type."""
    match node:
        case nodes.NamedType():
            return _named(unit, node.name)
        case nodes.RangeType():
            return _range(unit, node)
        case nodes.GenericType():
            return _generic(unit, node)
        case nodes.NoneTypeNode():
            return NONE
        case nodes.OptionalTypeNode():
            return _or_error(resolve(unit, node.inner), lambda inner: union([OptionalType(inner)]))
    return _union(unit, node)


def resolve_data(unit: Unit, node: nodes.TypeNode, what: str) -> Type:
    """A type that can come from outside or go there."""
    found = resolve(unit, node)
    if is_data(found):
        return found
    message = f"{what} must be data, and '{found}' is not"
    unit.report.add("E0404", message, node.span, DATA)
    return ERROR


def resolve_lasting(unit: Unit, node: nodes.TypeNode, what: str) -> Type:
    """Data, and distributions anywhere in it."""
    found = resolve(unit, node)
    if is_lasting(found):
        return found
    unit.report.add("E0404", f"{what} must be data or prob[…], and '{found}' is not", node.span, DATA)
    return ERROR


def resolve_result(unit: Unit, node: nodes.TypeNode, what: str) -> Type:
    """Data, or a distribution over some."""
    found = resolve(unit, node)
    if is_data(found) or isinstance(found, ProbType):
        return found
    unit.report.add("E0404", f"{what} must be data or prob[…], and '{found}' is not", node.span, DATA)
    return ERROR


def find_symbol(unit: Unit, name: nodes.Qualified) -> Symbol | None:
    """A declaration of this file or of an import; None is not reported yet."""
    if name.qualifier is None:
        return unit.find(name.name.text)
    unit.used.add(name.qualifier.text)
    imported = unit.imports.get(name.qualifier.text)
    return imported.find(name.name.text) if imported else None


def is_silent(unit: Unit, name: nodes.Qualified) -> bool:
    """Is the name wrong for a reason that is reported elsewhere (a broken import, a faulty declaration)?"""
    if name.qualifier is None:
        return name.name.text in unit.declared or name.name.text in unit.unsure
    qualifier = name.qualifier.text
    if qualifier not in unit.imports:
        return qualifier in unit.unsure
    imported = unit.imports[qualifier]
    return imported is None or name.name.text in imported.declared


def written(name: nodes.Qualified) -> str:
    return f"{name.qualifier.text}.{name.name.text}" if name.qualifier else name.name.text


def _union(unit: Unit, node: nodes.UnionTypeNode) -> Type:
    members = [resolve(unit, member) for member in node.members]
    if ERROR in members:
        return ERROR
    for at, (member, written) in enumerate(zip(members, node.members, strict=True)):
        others = [other for place, other in enumerate(members) if place != at and (other != member or place < at)]
        wider = next((other for other in others if assignable(member, other)), None)
        alike = next(
            (other for other in members[:at] if not assignable(other, member) and look_alike(member, other)), None
        )
        if wider is not None:
            message = f"'{member}' adds nothing to this union: it can stand for '{wider}' and is one then"
            unit.report.add("E0409", message, written.span, "leave it out")
        elif alike is not None:
            message = f"a value from outside can be '{alike}' as well as '{member}'"
            unit.report.add("W0806", message, written.span, _told_apart(member))
    return union(members)


def _told_apart(member: Type) -> str:
    if isinstance(member, RecordType):
        return f"give each a tag, as in 'record {member} tag \"{member.name.lower()}\" {{ … }}'"
    return "put each into a record of its own"


def _named(unit: Unit, name: nodes.Qualified) -> Type:
    text = written(name)
    if text in SIMPLE:
        return SIMPLE[text]
    symbol = find_symbol(unit, name)
    if isinstance(symbol, TypeSymbol):
        return symbol.type
    if text in GENERIC:
        unit.report.add("E0409", f"'{text}' needs a type in brackets", name.span, f"write '{text}[…]'")
    elif symbol is not None:
        note = Note("it is declared here", symbol.span)
        unit.report.add("E0305", f"expected a type, and '{text}' is {kind_of(symbol)}", name.span, None, note)
    elif not is_silent(unit, name):
        known = [*TYPE_NAMES, *unit.names(EnumDecl, RecordDecl, AliasDecl)]
        help = FOREIGN_TYPES.get(text) or did_you_mean(text, known)
        unit.report.add("E0301", f"unknown type '{text}'", name.span, help)
    return ERROR


FOREIGN_TYPES = {
    "string": "did you mean 'str'?",
    "String": "did you mean 'str'?",
    "text": "did you mean 'str'?",
    "integer": "did you mean 'int'?",
    "number": "did you mean 'float'?",
    "double": "did you mean 'float'?",
    "boolean": "did you mean 'bool'?",
    **dict.fromkeys(("None", "null", "nil", "undefined", "void", "unit", "Unit"), "did you mean 'none'?"),
    **dict.fromkeys(("JSON", "json", "Json"), "declare a record, or write 'map[str]'"),
    **dict.fromkeys(("set", "Set", "tuple", "Tuple"), "write 'list[…]', or declare a record"),
    "array": "write 'list[…]'",
    **dict.fromkeys(("dict", "Dict", "Map", "object"), "declare a record, or write 'map[str]'"),
    "any": "every type is known: declare a record or a union",
    "Any": "every type is known: declare a record or a union",
    "Optional": "write the type and '?'",
    "List": "did you mean 'list'?",
}


def _range(unit: Unit, node: nodes.RangeType) -> Type:
    low, high = (bound.value if bound else None for bound in (node.low, node.high))
    if node.name.text == "int":
        for bound in (node.low, node.high):
            if bound is not None and isinstance(bound.value, float):
                return _wrong_range(unit, bound.span, "the range of an int ends in whole numbers")
    elif node.name.text != "float":
        return _wrong_range(unit, node.name.span, f"'{node.name.text}' has no range", "ranges are for int and float")
    if low is not None and high is not None and low > high:
        return _wrong_range(unit, node.span, f"this range is empty: {low} is larger than {high}")
    if node.name.text == "int":
        return IntType(None if low is None else int(low), None if high is None else int(high))
    return FloatType(None if low is None else float(low), None if high is None else float(high))


def _wrong_range(unit: Unit, span: Span, message: str, help: str | None = None) -> Type:
    unit.report.add("E0409", message, span, help)
    return ERROR


def _generic(unit: Unit, node: nodes.GenericType) -> Type:
    argument = resolve(unit, node.argument)
    match node.name.text:
        case "list":
            return _or_error(argument, ListType)
        case "map":
            return _or_error(argument, MapType)
        case "prob":
            return _prob(unit, node, argument)
    help = FOREIGN_TYPES.get(node.name.text) or did_you_mean(node.name.text, GENERIC)
    unit.report.add("E0409", f"'{node.name.text}' takes no type in brackets", node.name.span, help)
    return ERROR


def _prob(unit: Unit, node: nodes.GenericType, of: Type) -> Type:
    bounded = isinstance(of, IntType) and of.low is not None and of.high is not None
    if bounded or of == ERROR or isinstance(of, (BoolType, EnumType)):
        return _or_error(of, ProbType)
    message = f"a distribution is over bool, an enum or a range of int, not over '{of}'"
    unit.report.add("E0409", message, node.argument.span)
    return ERROR


def _or_error(inner: Type, make: Callable[[Type], Type]) -> Type:
    return ERROR if inner == ERROR else make(inner)
