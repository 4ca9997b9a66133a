"""Calls: who is called, which argument belongs to which parameter, what runs on a thread."""

from __future__ import annotations

from collections.abc import Iterable

from alora_flow.language.checking.arguments import Slot, bind, ignored, settings, slots_of
from alora_flow.language.checking.callees import CALLABLE, qualified
from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.fit import as_thread, described, shown
from alora_flow.language.checking.generations import check_digits, check_range, sample_count
from alora_flow.language.checking.own_calls import function_call, own_call
from alora_flow.language.checking.retries import check_retry
from alora_flow.language.checking.scope import Symbol, bad, kind_of
from alora_flow.language.checking.types import find_symbol, is_silent, resolve_result, written
from alora_flow.language.meaning.builtins import FUNCTIONS, OWN_NAMES
from alora_flow.language.meaning.program import (
    Argument,
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
from alora_flow.language.meaning.settings import GENERATE, SAMPLES
from alora_flow.language.meaning.types import ERROR, REPLY, THREAD, UNIT_FLOAT, IntType, ListType, ProbType, Type
from alora_flow.language.report.diagnostics import Note, did_you_mean
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.words import FOREIGN_CALLS, METHODS

ONLY = {"on": "only 'generate' and intrinsics run on a thread", "as": "only 'generate' takes a type"}


def call(checker: Checker, node: nodes.CallNode, expected: Type | None) -> Expression:
    """`search(q)`, `Refusal(…)`, `len(xs)`, `user(…)`, `wrong.p(true)`"""
    if isinstance(node.callee, nodes.Access):
        return _dotted(checker, node, node.callee)
    if not isinstance(node.callee, nodes.Name):
        return _not_callable(checker, node)
    name = node.callee.text
    if checker.find(name) is not None:
        return _unknown(checker, node, name)
    symbol = checker.unit.find(name)
    if symbol is not None:
        return _declared(checker, node, name, symbol)
    if name in checker.unit.declared or checker.scope.is_unsure(name):
        return ignored(checker, node)
    if name in OWN_NAMES:
        return own_call(checker, node, name, expected)
    if name in FUNCTIONS:
        return function_call(checker, node, FUNCTIONS[name], name)
    return _unknown(checker, node, name)


def run(checker: Checker, node: nodes.RunOn) -> Expression:
    """`generate(…) as T on t`, `safety() on ask`"""
    thread = _thread(checker, node)
    if not isinstance(node.call, nodes.CallNode):
        return _runs_nothing(checker, node, node.call)
    name = qualified(node.call.callee)
    if name is not None and written(name) == "generate":
        return _generate(checker, node, node.call, thread)
    if isinstance(node.call.callee, nodes.Name) and checker.find(node.call.callee.text) is not None:
        return checker.value(node.call)
    symbol = find_symbol(checker.unit, name) if name is not None else None
    if isinstance(symbol, Intrinsic):
        return _invoke(checker, node, node.call, symbol, thread)
    if name is not None and symbol is None and is_silent(checker.unit, name):
        return ignored(checker, node.call)
    return _runs_nothing(checker, node, node.call)


# ------------------------------------------------------------ what is declared


def _declared(checker: Checker, node: nodes.CallNode, name: str, symbol: Symbol) -> Expression:
    match symbol:
        case RecordDecl():
            return _record(checker, node, symbol)
        case ToolDecl():
            arguments = bind(checker, node, f"'{name}'", slots_of(symbol.parameters))
            return ToolCall(symbol.result, node.span, symbol, arguments)
        case FlowDecl():
            arguments = bind(checker, node, f"'{name}'", slots_of(symbol.parameters))
            checker.unit.calls.append((checker.scope.owner, symbol.key, node.span))
            return FlowCall(symbol.result, node.span, symbol.key, arguments)
        case Intrinsic():
            help = f"write '{name}(…) on thread'"
            checker.report.add("E0506", f"'{name}' is an intrinsic and runs on a thread", node.span, help)
            return ignored(checker, node)
    note = Note(f"'{name}' is declared here", symbol.span)
    checker.report.add("E0505", f"'{name}' is {kind_of(symbol)} and cannot be called", node.callee.span, None, note)
    return ignored(checker, node)


def _record(checker: Checker, node: nodes.CallNode, record: RecordDecl) -> Expression:
    slots = [
        Slot(item.name, item.type, record.defaults.get(item.name), item.required, record.places.get(item.name))
        for item in record.type.fields
    ]
    arguments = bind(checker, node, f"'{record.name}'", slots)
    return RecordValue(record.type, node.span, tuple((item.name, item.value) for item in arguments))


def _dotted(checker: Checker, node: nodes.CallNode, callee: nodes.Access) -> Expression:
    """`wrong.p(true)`, `checks.search(q)`"""
    target = callee.target
    if isinstance(target, nodes.Name) and checker.find(target.text) is None and target.text in checker.unit.imports:
        name = f"{target.text}.{callee.name.text}"
        checker.unit.used.add(target.text)
        imported = checker.unit.imports[target.text]
        symbol = imported.find(callee.name.text) if imported else None
        if symbol is not None:
            return _declared(checker, node, name, symbol)
        if imported is not None:
            help = did_you_mean(callee.name.text, imported.names(RecordDecl, *CALLABLE))
            message = f"'{target.text}' declares no '{callee.name.text}'"
            checker.report.add("E0302", message, callee.name.span, help)
        return ignored(checker, node)
    return _method(checker, node, callee)


def _method(checker: Checker, node: nodes.CallNode, callee: nodes.Access) -> Expression:
    target = checker.value(callee.target)
    if target.type == ERROR:
        return ignored(checker, node)
    if not isinstance(target.type, ProbType) or callee.name.text != "p":
        message = f"{described(target)} has nothing to call that is named '{callee.name.text}'"
        help = _as_function(callee)
        if isinstance(target.type, ProbType) and callee.name.text in ("top", "expected"):
            help = f"'.{callee.name.text}' is read, not called: leave the brackets out"
        checker.report.add("E0505", message, callee.name.span, help)
        return ignored(checker, node)
    slot = Slot("outcome", target.type.of, None, True)
    arguments = bind(checker, node, "'.p'", [slot])
    return Probability(UNIT_FLOAT, node.span, target, arguments[0].value) if arguments else bad(node.span)


def _as_function(callee: nodes.Access) -> str:
    """What other languages write as a method of a value."""
    written = METHODS.get(callee.name.text)
    if written is None and callee.name.text in FUNCTIONS:
        written = f"{callee.name.text}({{x}})"
    if written is None:
        return "only distributions have: '.p(outcome)'"
    return f"write '{written.format(x=callee.target.span.text)}'"


def _unknown(checker: Checker, node: nodes.CallNode, name: str) -> Expression:
    binding = checker.find(name)
    if binding is not None:
        note = Note(f"'{name}' is bound here", binding.span)
        checker.unit.used_ids.add(binding.id)
        if binding.type == ERROR:
            return ignored(checker, node)
        message = f"'{name}' is a value of type {shown(binding.type)} and cannot be called"
        hidden = name in checker.unit.declared or name in FUNCTIONS or name in OWN_NAMES
        help = "it hides what is called so elsewhere: choose another name for it" if hidden else None
        checker.report.add("E0505", message, node.callee.span, help, note)
    else:
        known = [*FUNCTIONS, *OWN_NAMES, *checker.unit.names(RecordDecl, *CALLABLE)]
        help = FOREIGN_CALLS.get(name) or did_you_mean(name, known)
        checker.report.add("E0302", f"unknown name '{name}'", node.callee.span, help)
    return ignored(checker, node)


def _not_callable(checker: Checker, node: nodes.CallNode) -> Expression:
    checker.value(node.callee)
    checker.report.add("E0505", "this cannot be called", node.callee.span)
    return ignored(checker, node)


# ------------------------------------------------------------ what runs on threads


def _thread(checker: Checker, node: nodes.RunOn) -> Expression | None:
    if node.thread is None:
        return None
    return as_thread(checker, checker.value(node.thread, THREAD))


def _generate(checker: Checker, node: nodes.RunOn, made: nodes.CallNode, thread: Expression | None) -> Expression:
    given = settings(checker, made.arguments, GENERATE, "'generate'")
    as_type = resolve_result(checker.unit, node.as_type, "what is generated") if node.as_type else None
    if thread is None:
        checker.report.add("E0506", "'generate' runs on a thread", node.span, "write 'generate(…) as T on thread'")
        return bad(node.span)
    _has_bound(checker, given)
    check_retry(checker, given, as_type)
    if as_type == ERROR:
        return bad(node.span)
    type = REPLY if as_type is None else as_type
    check_range(checker.report, type, node.as_type.span if node.as_type else node.span)
    check_digits(checker.report, type, given)
    samples = sample_count(checker.report, given)
    if samples == 0:
        return bad(node.span)
    sampling = tuple(item for item in given if item.name != SAMPLES)
    return Generate(type if samples is None else ListType(type), node.span, thread, sampling, as_type, None, samples)


def _has_bound(checker: Checker, given: Iterable[Argument]) -> None:
    """The plan takes the worst case: `max_tokens` is a constant, or its range has an upper end."""
    for item in given:
        type = item.value.type
        if item.name == "max_tokens" and isinstance(type, IntType) and type.high is None:
            message = f"'max_tokens' must have an upper bound, found {described(item.value)}"
            help = f"keep it in range with 'clamp({item.value.span.text}, 1, 256)'"
            checker.report.add("E0208", message, item.value.span, help)


def _invoke(
    checker: Checker, node: nodes.RunOn, made: nodes.CallNode, intrinsic: Intrinsic, thread: Expression | None
) -> Expression:
    arguments = bind(checker, made, f"'{intrinsic.name}'", slots_of(intrinsic.parameters))
    if node.as_type is not None:
        message = f"'as' is for 'generate': '{intrinsic.name}' gives {intrinsic.result}"
        note = Note(f"'{intrinsic.name}' is declared here", intrinsic.span)
        checker.report.add("E0508", message, node.as_type.span, "leave it out", note)
    if thread is None or intrinsic.result == ERROR:
        return bad(node.span)
    return Invoke(intrinsic.result, node.span, intrinsic, arguments, thread)


def _intrinsic_inside(checker: Checker, made: nodes.Expression) -> nodes.CallNode | None:
    """The call of an intrinsic in `certainty().top`, `wrong().p(true)`."""
    target = made.callee if isinstance(made, nodes.CallNode) else made
    inner = target.target if isinstance(target, nodes.Access) else None
    if not isinstance(inner, nodes.CallNode):
        return None
    name = qualified(inner.callee)
    return inner if name is not None and isinstance(find_symbol(checker.unit, name), Intrinsic) else None


def _generation_inside(checker: Checker, made: nodes.Expression) -> nodes.CallNode | None:
    """The call in `generate().text`."""
    inner = made.target if isinstance(made, nodes.Access) else None
    if not isinstance(inner, nodes.CallNode) or not isinstance(inner.callee, nodes.Name):
        return None
    return inner if inner.callee.text == "generate" and checker.find("generate") is None else None


def _runs_nothing(checker: Checker, node: nodes.RunOn, made: nodes.Expression) -> Expression:
    inner = _intrinsic_inside(checker, made) or _generation_inside(checker, made)
    if inner is not None and node.thread is not None:
        rest = made.span.text[inner.span.end - made.span.start :]
        help = f"'on' goes with the call: write '({inner.span.text} on {node.thread.span.text}){rest}'"
        checker.report.add("E0507", "'on' does not belong to what is asked of a result", made.span, help)
        return bad(node.span)
    before = len(checker.report.found)
    found = checker.value(made)
    if len(checker.report.found) == before and found.type != ERROR:
        word, code = ("on", "E0507") if node.thread is not None else ("as", "E0508")
        message = f"'{word}' does not belong to this: it is {described(found)}"
        checker.report.add(code, message, made.span, ONLY[word])
    return bad(node.span)
