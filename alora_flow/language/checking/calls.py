"""Calls: who is called, which argument belongs to which parameter, what runs on a thread."""

from __future__ import annotations

from alora_flow.language.checking.arguments import Slot, bind, ignored, settings, slots_of
from alora_flow.language.checking.callees import CALLABLE, qualified
from alora_flow.language.checking.fit import as_thread, described
from alora_flow.language.checking.own_calls import function_call, own_call
from alora_flow.language.checking.scope import Check, Scope, Symbol, bad, kind_of
from alora_flow.language.checking.types import find_symbol, is_silent, resolve_result, written
from alora_flow.language.meaning.builtins import FUNCTIONS, OWN_NAMES
from alora_flow.language.meaning.program import (
    Expression,
    FlowCall,
    FlowDecl,
    Generate,
    Intrinsic,
    Invoke,
    Probability,
    RecordDecl,
    RecordValue,
    ToolCall,
    ToolDecl,
)
from alora_flow.language.meaning.settings import SAMPLING
from alora_flow.language.meaning.types import (
    ERROR,
    REPLY,
    THREAD,
    UNIT_FLOAT,
    ProbType,
    Type,
)
from alora_flow.language.report.diagnostics import Note, did_you_mean
from alora_flow.language.syntax import nodes

ONLY = {"on": "only 'generate' and intrinsics run on a thread", "as": "only 'generate' takes a type"}


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
        return ignored(scope, node, check)
    if name in OWN_NAMES:
        return own_call(scope, node, name, check)
    if name in FUNCTIONS:
        return function_call(scope, node, FUNCTIONS[name], name, check)
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
        return ignored(scope, node.call, check)
    return _runs_nothing(scope, node, node.call, check)


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
            return ignored(scope, node, check)
    note = Note(f"'{name}' is declared here", symbol.span)
    scope.unit.report.add("E0505", f"'{name}' is {kind_of(symbol)} and cannot be called", node.callee.span, None, note)
    return ignored(scope, node, check)


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
        return ignored(scope, node, check)
    return _method(scope, node, callee, check)


def _method(scope: Scope, node: nodes.Call, callee: nodes.Access, check: Check) -> Expression:
    target = check(scope, callee.target, None)
    if target.type == ERROR:
        return ignored(scope, node, check)
    if not isinstance(target.type, ProbType) or callee.name.text != "p":
        message = f"{target.type} has nothing to call that is named '{callee.name.text}'"
        help = "only distributions have: '.p(outcome)'"
        if isinstance(target.type, ProbType) and callee.name.text in ("top", "expected"):
            help = f"'.{callee.name.text}' is read, not called: leave the brackets out"
        scope.unit.report.add("E0505", message, callee.name.span, help)
        return ignored(scope, node, check)
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
    return ignored(scope, node, check)


def _not_callable(scope: Scope, node: nodes.Call, check: Check) -> Expression:
    check(scope, node.callee, None)
    scope.unit.report.add("E0505", "this cannot be called", node.callee.span)
    return ignored(scope, node, check)


# ------------------------------------------------------------ what runs on threads


def _thread(scope: Scope, node: nodes.Run, check: Check) -> Expression | None:
    if node.thread is None:
        return None
    return as_thread(scope, check(scope, node.thread, THREAD))


def _generate(scope: Scope, node: nodes.Run, made: nodes.Call, thread: Expression | None, check: Check) -> Expression:
    given = settings(scope, made.arguments, SAMPLING, "'generate'", check)
    as_type = resolve_result(scope.unit, node.as_type, "what is generated") if node.as_type else None
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
