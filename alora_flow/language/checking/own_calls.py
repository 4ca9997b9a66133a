"""Calls of what the language itself has: turns, documents, functions, `expected`, `calls`."""

from __future__ import annotations

from collections.abc import Sequence

from alora_flow.language.checking.arguments import Slot, bind, counted, ignored
from alora_flow.language.checking.callees import callee, qualified
from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.choices import common
from alora_flow.language.checking.fit import as_turns, conversion, described
from alora_flow.language.checking.scope import bad
from alora_flow.language.meaning.builtins import TURNS, Function, result_of
from alora_flow.language.meaning.folding import constant_text
from alora_flow.language.meaning.program import (
    Builtin,
    Calls,
    DocumentValue,
    Expected,
    Expression,
    MapValue,
    Text,
    TurnValue,
)
from alora_flow.language.meaning.relations import assignable, union
from alora_flow.language.meaning.types import (
    DOCUMENT,
    ERROR,
    NEVER,
    STR,
    THREAD,
    DocumentType,
    FloatType,
    IntType,
    ListType,
    MapType,
    OptionalType,
    PairType,
    RecordType,
    StrType,
    Type,
    alternatives,
)
from alora_flow.language.report.diagnostics import did_you_mean
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.words import FOREIGN_ARGUMENTS, OTHERWISE

ON_THREAD = (*TURNS, "document")


def own_call(checker: Checker, node: nodes.CallNode, name: str, expected: Type | None) -> Expression:
    if name in ON_THREAD:
        return _turn(checker, node, name)
    match name:
        case "map":
            return _map(checker, node, expected)
        case "expected" if checker.scope.in_value:
            return _expected(checker, node)
        case "calls" if checker.scope.in_test:
            return _calls(checker, node)
        case "generate":
            return _generate_alone(checker, node)
    where = {"expected": "the value of an intrinsic", "calls": "tests", "plan": "tests"}[name]
    checker.report.add("E0305", f"'{name}(…)' stands only in {where}", node.callee.span)
    return ignored(checker, node)


def _generate_alone(checker: Checker, node: nodes.CallNode) -> Expression:
    """Without `on`: the prompt is among the arguments, or it is missing."""
    values = [checker.value(item.value, ERROR) for item in node.arguments if item.name is None]
    thread = "thread"
    for prompt in values[:1]:
        text = prompt.span.text
        thread = text if assignable(prompt.type, THREAD) and prompt.type != ERROR else f"user({text})"
    checker.report.add("E0506", "'generate' runs on a thread", node.span, f"write 'generate(…) on {thread}'")
    return bad(node.span)


def _turn(checker: Checker, node: nodes.CallNode, name: str) -> Expression:
    if name == "document":
        return _document(checker, node)
    wanted: Type = ListType(DOCUMENT) if name == "documents" else STR
    arguments = bind(
        checker, node, f"'{name}'", [Slot("content", wanted, None, True, label=f"the content of '{name}'")]
    )
    if not arguments or arguments[0].value.type == ERROR:
        return TurnValue(THREAD, node.span, name, bad(node.span))  # type: ignore[arg-type]
    return TurnValue(THREAD, node.span, name, arguments[0].value)  # type: ignore[arg-type]


def _document(checker: Checker, node: nodes.CallNode) -> Expression:
    """`document("text", title: "…")` makes a value, `document(doc)` a turn of one that is there."""
    text = Slot("text", union([STR, DOCUMENT]) if len(node.arguments) == 1 else STR, None, True)
    title = Slot("title", STR, Text(STR, node.span, ()), False)
    arguments = bind(checker, node, "'document'", [text, title])
    if len(arguments) < 2:
        return bad(node.span)
    content = arguments[0].value
    if isinstance(content.type, DocumentType):
        return as_turns(checker, content)
    return DocumentValue(DOCUMENT, node.span, content, arguments[1].value)


def _map(checker: Checker, node: nodes.CallNode, expected: Type | None) -> Expression:
    """`map(city: "Tarnok")` by its entries, `map(zip(keys, values))` of pairs."""
    if len(node.arguments) == 1 and node.arguments[0].name is None:
        pairs = checker.value(node.arguments[0].value)
        element = pairs.type.element if isinstance(pairs.type, ListType) else None
        if isinstance(element, PairType) and assignable(element.first, STR):
            return Builtin(MapType(element.second), node.span, "map", (pairs,))
        if pairs.type != ERROR:
            message = f"'map' takes entries or pairs of a string and a value, found {described(pairs)}"
            checker.report.add("E0401", message, pairs.span, "write 'map(key: value)' or 'map(zip(keys, values))'")
        return bad(node.span)
    wanted = next((part.value for part in alternatives(expected or STR) if isinstance(part, MapType)), None)
    entries: dict[str, Expression] = {}
    for item in node.arguments:
        value = checker.value(item.value, wanted)
        if item.name is None:
            checker.report.add("E0504", "'map' takes entries, or one list of pairs", item.span, "write 'key: value'")
        elif item.name.text in entries:
            checker.report.add("E0503", f"'{item.name.text}' is given twice", item.span)
        else:
            entries[item.name.text] = value
    type = common([value.type for value in entries.values()], wanted) if entries else NEVER
    return bad(node.span) if type == ERROR else MapValue(MapType(type), node.span, tuple(entries.items()))


def function_call(checker: Checker, node: nodes.CallNode, function: Function, name: str) -> Expression:
    takes = f"'{name}' takes ({', '.join(function.parameters)})"
    if _is_misnamed(checker, node, name, takes) or _is_miscounted(checker, node, function, name, takes):
        return ignored(checker, node)
    hints = function.hints or (None,) * len(function.parameters)
    values = tuple(checker.value(item.value, hint) for item, hint in zip(node.arguments, hints, strict=False))
    type = result_of(function, [item.type for item in values])
    if type is None:
        _report_values(checker, node, name, values, takes)
        return bad(node.span)
    if name in BY_FIELD and len(values) == 2 and not _names_field(checker, values, BY_FIELD[name]):
        return bad(node.span)
    return Builtin(type, node.span, name, values)


def _is_misnamed(checker: Checker, node: nodes.CallNode, name: str, takes: str) -> bool:
    """Has an argument a name? Only a field may, behind the list: `by: "score"`."""
    for position, item in enumerate(node.arguments):
        if item.name is not None and (name not in BY_FIELD or item.name.text != "by" or position != 1):
            message = f"'{name}' has no '{item.name.text}'" if name in BY_FIELD else f"'{name}' has no named arguments"
            help = FOREIGN_ARGUMENTS.get(item.name.text, takes) if name == "sort" else takes
            checker.report.add("E0502", message, item.name.span, help)
            return True
    return False


def _is_miscounted(checker: Checker, node: nodes.CallNode, function: Function, name: str, takes: str) -> bool:
    most = len(function.parameters)
    if most - function.optional <= len(node.arguments) <= most:
        return False
    code, span = ("E0504", node.arguments[most].span) if len(node.arguments) > most else ("E0501", node.callee.span)
    checker.report.add(code, f"'{name}' needs {counted(most)}", span, OTHERWISE.get(name, takes))
    return True


def _report_values(checker: Checker, node: nodes.CallNode, name: str, values: Sequence[Expression], takes: str) -> None:
    given = ", ".join(described(item) for item in values)
    optional = next((item.type for item in values if isinstance(item.type, OptionalType)), None)
    no_strings = isinstance(values[0].type, ListType) and values[0].type.element != STR
    help: str | None = OTHERWISE[name] if name == "join" and no_strings else takes
    if optional is not None:
        help = conversion(optional, optional.inner)
    checker.report.add("E0401", f"'{name}' does not take ({given})", node.span, help)


BY_FIELD: dict[str, tuple[type, ...]] = {"best": (IntType, FloatType), "sort": (IntType, FloatType, StrType)}
"""The functions that take the name of a field, alone or behind `by:`, and which types it may have."""


def _names_field(checker: Checker, values: Sequence[Expression], types: tuple[type, ...]) -> bool:
    """Is the second argument the name of a field with a number (to sort, also with a string)?"""
    field = constant_text(values[1])
    record = values[0].type.element if isinstance(values[0].type, ListType) else None
    if not isinstance(record, RecordType) or ERROR in (values[1].type, record):
        return True
    known = [item.name for item in record.fields if isinstance(item.type, types)]
    if field in known:
        return True
    what = "a number or a string" if StrType in types else "a number"
    of_what = "numbers or strings" if StrType in types else "numbers"
    help = did_you_mean(field or "", known) or f"its fields with {of_what} are {', '.join(known) or 'none'}"
    checker.report.add("E0303", f"'{record}' has no field of that name with {what}", values[1].span, help)
    return False


def _expected(checker: Checker, node: nodes.CallNode) -> Expression:
    arguments = bind(checker, node, "'expected'", [Slot("value", FloatType(), None, True)])
    if not arguments or arguments[0].value.type == ERROR:
        return bad(node.span)
    operand = arguments[0].value
    assert isinstance(operand.type, (IntType, FloatType))
    low, high = (None if bound is None else float(bound) for bound in (operand.type.low, operand.type.high))
    return Expected(FloatType(low, high), node.span, operand)


def _calls(checker: Checker, node: nodes.CallNode) -> Expression:
    name = qualified(node.arguments[0].value) if len(node.arguments) == 1 else None
    if name is None:
        checker.report.add("E0501", "'calls' needs the name of an intrinsic, tool or flow, or 'generate'", node.span)
        return bad(node.span)
    target = callee(checker, name)
    return bad(node.span) if target is None else Calls(IntType(0), node.span, target)
