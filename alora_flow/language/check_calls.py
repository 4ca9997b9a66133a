"""Calls: who is called, which argument belongs to which parameter, what runs on a thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alora_flow.language import nodes
from alora_flow.language.builtins import FUNCTIONS, OWN_NAMES, TURNS, Function, result_of
from alora_flow.language.check_fit import as_thread, as_turns, described, fit
from alora_flow.language.check_scope import Check, Scope, Symbol, bad, kind_of
from alora_flow.language.check_types import find_symbol, is_silent, resolve_data, written
from alora_flow.language.diagnostics import Note, did_you_mean
from alora_flow.language.folding import constant_text, folded
from alora_flow.language.program import (
    Argument,
    Builtin,
    Callee,
    Calls,
    DocumentValue,
    Expected,
    Expression,
    FlowCall,
    FlowDecl,
    Generate,
    Intrinsic,
    Invoke,
    Parameter,
    Probability,
    RecordDecl,
    RecordValue,
    Text,
    ToolCall,
    ToolDecl,
    Turn,
)
from alora_flow.language.settings import SAMPLING
from alora_flow.language.source import Span
from alora_flow.language.types import (
    DOCUMENT,
    ERROR,
    REPLY,
    STR,
    THREAD,
    UNIT_FLOAT,
    DocumentType,
    FloatType,
    IntType,
    ListType,
    ProbType,
    RecordType,
    Type,
)

CALLABLE = (Intrinsic, ToolDecl, FlowDecl)
ON_THREAD = (*TURNS, "document")
ONLY = {"on": "only 'generate' and intrinsics run on a thread", "as": "only 'generate' takes a type"}


@dataclass(frozen=True)
class Slot:
    """A parameter, a record's field or a setting, as arguments see it."""

    name: str
    type: Type
    default: Expression | None
    required: bool
    span: Span | None = None
    label: str = ""


def slots_of(parameters: Iterable[Parameter]) -> list[Slot]:
    return [Slot(item.name, item.type, item.default, item.default is None, item.binding.span) for item in parameters]


def call(scope: Scope, node: nodes.Call, expected: Type | None, check: Check) -> Expression:
    """`search(q)`, `Refusal(…)`, `len(xs)`, `user(…)`, `wrong.p(true)`"""
    if isinstance(node.callee, nodes.Access):
        return _dotted(scope, node, node.callee, check)
    if not isinstance(node.callee, nodes.Name):
        return _not_callable(scope, node, check)
    name = node.callee.text
    symbol = scope.unit.find(name)
    if symbol is not None:
        return _declared(scope, node, name, symbol, check)
    if name in scope.unit.declared:
        return _ignored(scope, node, check)
    if name in OWN_NAMES:
        return _own(scope, node, name, check)
    if name in FUNCTIONS:
        return _function(scope, node, FUNCTIONS[name], name, check)
    return _unknown(scope, node, name, check)


def run(scope: Scope, node: nodes.Run, check: Check) -> Expression:
    """`generate(…) as T on t`, `safety() on ask`"""
    thread = _thread(scope, node, check)
    if not isinstance(node.call, nodes.Call):
        return _runs_nothing(scope, node, node.call, check)
    name = qualified(node.call.callee)
    if name is not None and written(name) == "generate":
        return _generate(scope, node, node.call, thread, check)
    symbol = find_symbol(scope.unit, name) if name is not None else None
    if isinstance(symbol, Intrinsic):
        return _invoke(scope, node, node.call, symbol, thread, check)
    if name is not None and symbol is None and is_silent(scope.unit, name):
        return _ignored(scope, node.call, check)
    return _runs_nothing(scope, node, node.call, check)


def qualified(callee: nodes.Expression) -> nodes.Qualified | None:
    """`search`, `checks.search` as names."""
    match callee:
        case nodes.Name():
            return nodes.Qualified(callee.span, None, nodes.Identifier(callee.span, callee.text))
        case nodes.Access(target=nodes.Name() as target):
            return nodes.Qualified(callee.span, nodes.Identifier(target.span, target.text), callee.name)
    return None


# ------------------------------------------------------------------ arguments


def bind(
    scope: Scope, node: nodes.Call | nodes.Mock, what: str, slots: Sequence[Slot], check: Check, partial: bool = False
) -> tuple[Argument, ...]:
    """Arguments in the order of the slots, defaults filled in; `partial` leaves out what is not given.

    An unknown name was meant for a parameter that is missing: that one is not reported too.
    """
    given: dict[str, nodes.Argument] = {}
    unknown = 0
    for position, argument in enumerate(node.arguments):
        slot = _slot(scope, what, slots, position, argument)
        if slot is None:
            check(scope, argument.value, None)
            unknown += argument.name is not None
        elif slot.name in given:
            note = Note("it is given here first", given[slot.name].span)
            scope.unit.report.add("E0503", f"'{slot.name}' is given twice", argument.span, None, note)
        else:
            given[slot.name] = argument
    if not partial:
        missing = [slot for slot in slots if slot.required and slot.name not in given]
        _report_missing(scope, node, what, missing[unknown:])
    bound = [_argument(scope, slot, given.get(slot.name), node.span, check) for slot in slots]
    return tuple(item for item in bound if item is not None and (item.given or not partial))


def _argument(scope: Scope, slot: Slot, given: nodes.Argument | None, span: Span, check: Check) -> Argument | None:
    if given is None:
        return None if slot.default is None else Argument(slot.name, folded(slot.default, span), given=False)
    notes = (Note(f"'{slot.name}' is declared here", slot.span),) if slot.span else ()
    return Argument(
        slot.name, fit(scope, check(scope, given.value, slot.type), slot.type, slot.label or f"'{slot.name}'", *notes)
    )


def _slot(scope: Scope, what: str, slots: Sequence[Slot], position: int, argument: nodes.Argument) -> Slot | None:
    report = scope.unit.report
    if argument.name is None:
        if position < len(slots):
            return slots[position]
        taken = f"takes {_count(len(slots))}" if slots else "takes none"
        report.add("E0504", f"too many arguments: {what} {taken}", argument.span, _signature(slots))
        return None
    name = argument.name.text
    slot = next((slot for slot in slots if slot.name == name), None)
    if slot is None:
        help = did_you_mean(name, [slot.name for slot in slots]) or _signature(slots)
        report.add("E0502", f"{what} has no '{name}'", argument.name.span, help)
    return slot


def _count(number: int) -> str:
    return f"{number} argument{'' if number == 1 else 's'}"


def _signature(slots: Sequence[Slot]) -> str | None:
    return f"it takes ({', '.join(f'{slot.name}: {slot.type}' for slot in slots)})" if slots else None


def _report_missing(scope: Scope, node: nodes.Call | nodes.Mock, what: str, missing: Sequence[Slot]) -> None:
    for slot in missing:
        notes = (Note(f"'{slot.name}' is declared here", slot.span),) if slot.span else ()
        help = f"add '{slot.name}: …'"
        scope.unit.report.add("E0501", f"{what} needs '{slot.name}: {slot.type}'", node.callee.span, help, *notes)


def settings(
    scope: Scope, arguments: Sequence[nodes.Argument], table: Mapping[str, Type], what: str, check: Check
) -> tuple[Argument, ...]:
    """Named settings of a table, in the order written."""
    found: dict[str, Argument] = {}
    report = scope.unit.report
    for argument in arguments:
        name = argument.name.text if argument.name else None
        type = table.get(name or "")
        given = check(scope, argument.value, type)
        if name is None or argument.name is None:
            report.add("E0504", f"{what} takes named settings only", argument.span, f"known are {', '.join(table)}")
        elif type is None:
            help = did_you_mean(name, table) or f"known are {', '.join(table)}"
            report.add("E0306", f"{what} has no setting '{name}'", argument.name.span, help)
        elif name in found:
            note = Note("it is given here first", found[name].value.span)
            report.add("E0503", f"'{name}' is given twice", argument.span, None, note)
        else:
            found[name] = Argument(name, fit(scope, given, type, f"'{name}'"))
    return tuple(found.values())


# ------------------------------------------------------------ what is declared


def _declared(scope: Scope, node: nodes.Call, name: str, symbol: Symbol, check: Check) -> Expression:
    match symbol:
        case RecordDecl():
            return _record(scope, node, symbol, check)
        case ToolDecl():
            arguments = bind(scope, node, f"'{name}'", slots_of(symbol.parameters), check)
            return ToolCall(symbol.result, node.span, symbol, arguments)
        case FlowDecl():
            arguments = bind(scope, node, f"'{name}'", slots_of(symbol.parameters), check)
            scope.unit.calls.append((scope.owner, symbol.key, node.span))
            return FlowCall(symbol.result, node.span, symbol.key, arguments)
        case Intrinsic():
            help = f"write '{name}(…) on thread'"
            scope.unit.report.add("E0506", f"'{name}' is an intrinsic and runs on a thread", node.span, help)
            return _ignored(scope, node, check)
    note = Note(f"'{name}' is declared here", symbol.span)
    scope.unit.report.add("E0505", f"'{name}' is {kind_of(symbol)} and cannot be called", node.callee.span, None, note)
    return _ignored(scope, node, check)


def _record(scope: Scope, node: nodes.Call, record: RecordDecl, check: Check) -> Expression:
    slots = [
        Slot(item.name, item.type, record.defaults.get(item.name), item.required, record.places.get(item.name))
        for item in record.type.fields
    ]
    arguments = bind(scope, node, f"'{record.name}'", slots, check)
    return RecordValue(record.type, node.span, tuple((item.name, item.value) for item in arguments))


def _dotted(scope: Scope, node: nodes.Call, callee: nodes.Access, check: Check) -> Expression:
    """`wrong.p(true)`, `checks.search(q)`"""
    target = callee.target
    if isinstance(target, nodes.Name) and scope.find(target.text) is None and target.text in scope.unit.imports:
        name = f"{target.text}.{callee.name.text}"
        scope.unit.used.add(target.text)
        imported = scope.unit.imports[target.text]
        symbol = imported.find(callee.name.text) if imported else None
        if symbol is not None:
            return _declared(scope, node, name, symbol, check)
        if imported is not None:
            help = did_you_mean(callee.name.text, imported.names(RecordDecl, *CALLABLE))
            message = f"'{target.text}' declares no '{callee.name.text}'"
            scope.unit.report.add("E0302", message, callee.name.span, help)
        return _ignored(scope, node, check)
    return _method(scope, node, callee, check)


def _method(scope: Scope, node: nodes.Call, callee: nodes.Access, check: Check) -> Expression:
    target = check(scope, callee.target, None)
    if target.type == ERROR:
        return _ignored(scope, node, check)
    if not isinstance(target.type, ProbType) or callee.name.text != "p":
        message = f"{target.type} has nothing to call that is named '{callee.name.text}'"
        help = "only distributions have: '.p(outcome)'"
        if isinstance(target.type, ProbType) and callee.name.text in ("top", "expected"):
            help = f"'.{callee.name.text}' is read, not called: leave the brackets out"
        scope.unit.report.add("E0505", message, callee.name.span, help)
        return _ignored(scope, node, check)
    slot = Slot("outcome", target.type.of, None, True)
    arguments = bind(scope, node, "'.p'", [slot], check)
    return Probability(UNIT_FLOAT, node.span, target, arguments[0].value) if arguments else bad(node.span)


def _unknown(scope: Scope, node: nodes.Call, name: str, check: Check) -> Expression:
    binding = scope.find(name)
    if binding is not None:
        note = Note(f"'{name}' is bound here", binding.span)
        scope.unit.used_ids.add(binding.id)
        message = f"'{name}' is a value of type {binding.type} and cannot be called"
        scope.unit.report.add("E0505", message, node.callee.span, None, note)
    else:
        known = [*FUNCTIONS, *OWN_NAMES, *scope.unit.names(RecordDecl, *CALLABLE)]
        scope.unit.report.add("E0302", f"unknown name '{name}'", node.callee.span, did_you_mean(name, known))
    return _ignored(scope, node, check)


def _not_callable(scope: Scope, node: nodes.Call, check: Check) -> Expression:
    check(scope, node.callee, None)
    scope.unit.report.add("E0505", "this cannot be called", node.callee.span)
    return _ignored(scope, node, check)


def _ignored(scope: Scope, node: nodes.Call, check: Check) -> Expression:
    """Reads the arguments for names and errors of their own."""
    for argument in node.arguments:
        if not isinstance(argument.value, nodes.Name) or scope.find(argument.value.text):
            check(scope, argument.value, None)
    return bad(node.span)


# ------------------------------------------------------- what the language has


def _own(scope: Scope, node: nodes.Call, name: str, check: Check) -> Expression:
    if name in ON_THREAD:
        return _turn(scope, node, name, check)
    match name:
        case "expected" if scope.in_value:
            return _expected(scope, node, check)
        case "calls" if scope.in_test:
            return _calls(scope, node)
        case "generate":
            help = "write 'generate(…) on thread'"
            scope.unit.report.add("E0506", "'generate' runs on a thread", node.span, help)
            return _ignored(scope, node, check)
    where = {"expected": "the value of an intrinsic", "calls": "tests", "plan": "tests"}[name]
    scope.unit.report.add("E0305", f"'{name}(…)' stands only in {where}", node.callee.span)
    return _ignored(scope, node, check)


def _turn(scope: Scope, node: nodes.Call, name: str, check: Check) -> Expression:
    if name == "document":
        return _document(scope, node, check)
    wanted: Type = ListType(DOCUMENT) if name == "documents" else STR
    arguments = bind(
        scope, node, f"'{name}'", [Slot("content", wanted, None, True, label=f"the content of '{name}'")], check
    )
    if not arguments or arguments[0].value.type == ERROR:
        return Turn(THREAD, node.span, name, bad(node.span))  # type: ignore[arg-type]
    return Turn(THREAD, node.span, name, arguments[0].value)  # type: ignore[arg-type]


def _document(scope: Scope, node: nodes.Call, check: Check) -> Expression:
    """`document("text", title: "…")` makes a value, `document(doc)` a turn of one that is there."""
    if len(node.arguments) == 1 and node.arguments[0].name is None:
        with scope.unit.report.quiet():
            only = check(scope, node.arguments[0].value, None)
        if isinstance(only.type, DocumentType):
            return as_turns(scope, only)
    title = Slot("title", STR, Text(STR, node.span, ()), False)
    arguments = bind(scope, node, "'document'", [Slot("text", STR, None, True), title], check)
    if len(arguments) < 2:
        return bad(node.span)
    return DocumentValue(DOCUMENT, node.span, arguments[0].value, arguments[1].value)


def _function(scope: Scope, node: nodes.Call, function: Function, name: str, check: Check) -> Expression:
    named = next((item for item in node.arguments if item.name is not None), None)
    takes = f"'{name}' takes ({', '.join(function.parameters)})"
    if named is not None and named.name is not None:
        scope.unit.report.add("E0502", f"'{name}' has no named arguments", named.name.span, takes)
        return _ignored(scope, node, check)
    hints = function.hints or (None,) * len(function.parameters)
    if len(node.arguments) != len(function.parameters):
        code = "E0504" if len(node.arguments) > len(function.parameters) else "E0501"
        span = node.arguments[len(function.parameters)].span if code == "E0504" else node.callee.span
        scope.unit.report.add(code, f"'{name}' needs {_count(len(function.parameters))}", span, takes)
        return _ignored(scope, node, check)
    values = tuple(check(scope, item.value, hint) for item, hint in zip(node.arguments, hints, strict=True))
    type = result_of(function, [item.type for item in values])
    if type is None:
        given = ", ".join(described(item) for item in values)
        scope.unit.report.add("E0401", f"'{name}' does not take ({given})", node.span, takes)
        return bad(node.span)
    if name == "best" and not _names_number(scope, values):
        return bad(node.span)
    return Builtin(type, node.span, name, values)


def _names_number(scope: Scope, values: Sequence[Expression]) -> bool:
    """Is the second argument of `best` the name of a numeric field?"""
    field = constant_text(values[1])
    record = values[0].type.element if isinstance(values[0].type, ListType) else None
    if not isinstance(record, RecordType) or ERROR in (values[1].type, record):
        return True
    numeric = [item.name for item in record.fields if isinstance(item.type, (IntType, FloatType))]
    if field in numeric:
        return True
    help = did_you_mean(field or "", numeric) or f"its fields with numbers are {', '.join(numeric) or 'none'}"
    scope.unit.report.add("E0303", f"'{record}' has no field of that name with a number", values[1].span, help)
    return False


def _expected(scope: Scope, node: nodes.Call, check: Check) -> Expression:
    arguments = bind(scope, node, "'expected'", [Slot("value", FloatType(), None, True)], check)
    if not arguments or arguments[0].value.type == ERROR:
        return bad(node.span)
    operand = arguments[0].value
    assert isinstance(operand.type, (IntType, FloatType))
    low, high = (None if bound is None else float(bound) for bound in (operand.type.low, operand.type.high))
    return Expected(FloatType(low, high), node.span, operand)


def _calls(scope: Scope, node: nodes.Call) -> Expression:
    name = qualified(node.arguments[0].value) if len(node.arguments) == 1 else None
    if name is None:
        scope.unit.report.add("E0501", "'calls' needs the name of an intrinsic, tool or flow, or 'generate'", node.span)
        return bad(node.span)
    target = callee(scope, name)
    return bad(node.span) if target is None else Calls(IntType(0), node.span, target)


def callee(scope: Scope, name: nodes.Qualified) -> Callee | None:
    """What `calls(…)` and `mock` name; reports what cannot be called."""
    if written(name) == "generate":
        return "generate"
    symbol = find_symbol(scope.unit, name)
    if isinstance(symbol, CALLABLE):
        return symbol
    if symbol is not None:
        note = Note("it is declared here", symbol.span)
        message = f"expected an intrinsic, a tool or a flow, and '{written(name)}' is {kind_of(symbol)}"
        scope.unit.report.add("E0305", message, name.span, None, note)
    elif not is_silent(scope.unit, name):
        help = did_you_mean(written(name), ["generate", *scope.unit.names(*CALLABLE)])
        scope.unit.report.add("E0302", f"unknown name '{written(name)}'", name.span, help)
    return None


# ------------------------------------------------------------ what runs on threads


def _thread(scope: Scope, node: nodes.Run, check: Check) -> Expression | None:
    if node.thread is None:
        return None
    return as_thread(scope, check(scope, node.thread, THREAD))


def _generate(scope: Scope, node: nodes.Run, made: nodes.Call, thread: Expression | None, check: Check) -> Expression:
    given = settings(scope, made.arguments, SAMPLING, "'generate'", check)
    as_type = resolve_data(scope.unit, node.as_type, "what is generated") if node.as_type else None
    if thread is None:
        scope.unit.report.add("E0506", "'generate' runs on a thread", node.span, "write 'generate(…) as T on thread'")
        return bad(node.span)
    if as_type == ERROR:
        return bad(node.span)
    return Generate(REPLY if as_type is None else as_type, node.span, thread, given, as_type, None)


def _invoke(
    scope: Scope, node: nodes.Run, made: nodes.Call, intrinsic: Intrinsic, thread: Expression | None, check: Check
) -> Expression:
    arguments = bind(scope, made, f"'{intrinsic.name}'", slots_of(intrinsic.parameters), check)
    if node.as_type is not None:
        message = f"'as' is for 'generate': '{intrinsic.name}' gives {intrinsic.result}"
        note = Note(f"'{intrinsic.name}' is declared here", intrinsic.span)
        scope.unit.report.add("E0508", message, node.as_type.span, "leave it out", note)
    if thread is None or intrinsic.result == ERROR:
        return bad(node.span)
    return Invoke(intrinsic.result, node.span, intrinsic, arguments, thread)


def _intrinsic_inside(scope: Scope, made: nodes.Expression) -> nodes.Call | None:
    """The call of an intrinsic in `certainty().top`, `wrong().p(true)`."""
    target = made.callee if isinstance(made, nodes.Call) else made
    inner = target.target if isinstance(target, nodes.Access) else None
    if not isinstance(inner, nodes.Call):
        return None
    name = qualified(inner.callee)
    return inner if name is not None and isinstance(find_symbol(scope.unit, name), Intrinsic) else None


def _runs_nothing(scope: Scope, node: nodes.Run, made: nodes.Expression, check: Check) -> Expression:
    inner = _intrinsic_inside(scope, made)
    if inner is not None and node.thread is not None:
        rest = made.span.text[inner.span.end - made.span.start :]
        help = f"'on' goes with the intrinsic: write '({inner.span.text} on {node.thread.span.text}){rest}'"
        scope.unit.report.add("E0507", "'on' does not belong to what is asked of a result", made.span, help)
        return bad(node.span)
    before = len(scope.unit.report.found)
    found = check(scope, made, None)
    if len(scope.unit.report.found) == before:
        word, code = ("on", "E0507") if node.thread is not None else ("as", "E0508")
        message = f"'{word}' does not belong to this: it is {described(found)}"
        scope.unit.report.add(code, message, made.span, ONLY[word])
    return bad(node.span)
