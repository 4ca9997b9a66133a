"""Calls that a model makes itself: `may invoke […] budget 4 { on safety(v) when not v => stop }`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from alora_flow.language.checking.callees import callee
from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.frames import constant_int, when
from alora_flow.language.checking.generations import check_range
from alora_flow.language.checking.scope import Permitted, Scope, Unit, bad, kind_of
from alora_flow.language.checking.types import written
from alora_flow.language.checking.values import reader
from alora_flow.language.meaning import program
from alora_flow.language.meaning.failing import CALLS
from alora_flow.language.meaning.program import Intrinsic, ToolDecl
from alora_flow.language.meaning.relations import union
from alora_flow.language.meaning.types import ERROR, ProbType, ReplyType
from alora_flow.language.report.diagnostics import Note, did_you_mean
from alora_flow.language.syntax import nodes


def may_invoke(checker: Checker, node: nodes.MayInvoke) -> program.Expression:
    """A generation that calls by itself."""
    made = checker.value(node.call)
    may = permission(checker, node.permission)
    if not isinstance(made, program.Generate):
        if made.type != ERROR:
            checker.report.add("E0508", "'may invoke' belongs to 'generate'", node.call.span)
        return bad(node.span)
    if may is None:
        return bad(node.span)
    if made.samples is not None:
        checker.report.add("E0508", "'may invoke' and 'n' do not go together", node.call.span, "leave 'n' out")
        return bad(node.span)
    if isinstance(made.as_type, ProbType):
        help = f"leave out 'prob', as in 'generate(…) as {made.as_type.of}'"
        message = "there is no distribution over what is written with calls in between"
        checker.report.add("E0508", message, node.call.span, help)
        return bad(node.span)
    checker.unit.invoking.append(Permitted("", may, node.permission))
    type = (
        ReplyType(union(item.result for item in _reachable(checker.unit, may))) if made.as_type is None else made.type
    )
    return replace(made, type=type, span=node.span, may_invoke=may)


def _reachable(unit: Unit, may: program.MayInvoke) -> list[Intrinsic | ToolDecl]:
    """What is called, and what that calls in turn."""
    declared = {item.key: item for item in _intrinsics(unit)}
    found = [*may.callees]
    for item in found:  # which grows
        inner = declared[item.key].may_invoke if isinstance(item, Intrinsic) else None
        known = {one.key for one in found}
        found += [one for one in inner.callees if one.key not in known] if inner else []
    return found


def _intrinsics(unit: Unit) -> Iterator[Intrinsic]:
    """Those of a file and of its imports."""
    yield from (symbol for symbol in unit.symbols.values() if isinstance(symbol, Intrinsic))
    for imported in unit.imports.values():
        if imported is not None:
            yield from _intrinsics(imported)


def inner_calls(unit: Unit, node: nodes.Intrinsic, found: Intrinsic) -> Intrinsic:
    """An intrinsic with what it may invoke while it writes, once all intrinsics are known."""
    first = Note("it stands here first", node.permissions[0].span)
    for again in node.permissions[1:]:
        unit.report.add("E0207", "a second 'may invoke'", again.span, None, first)
    may = permission(reader(Scope(unit)), node.permissions[0])
    if may is None:
        return found
    weighed = any(isinstance(part, program.Expected) for part in program.every(found.value))
    if weighed or isinstance(found.result, ProbType):
        help = "let it emit a plain value, or call what it may invoke in the flow"
        message = f"'{found.name}' gives a distribution, and there is none over what is written with calls in between"
        unit.report.add("E0508", message, node.permissions[0].span, help)
        return found
    unit.invoking.append(Permitted(found.key, may, node.permissions[0]))
    return replace(found, may_invoke=may)


def permission(checker: Checker, node: nodes.Permission) -> program.MayInvoke | None:
    """What may be called. None where that is wrong."""
    callees = tuple(item for item in (_invocable(checker, name) for name in node.callees) if item is not None)
    for place, item in enumerate(callees):
        if item in callees[:place]:
            checker.report.add("E0509", f"'{item.name}' is listed twice", node.callees[-1].span, "leave one out")
            return None
    _warn_of_conflicts(checker, node, callees)
    budget = constant_int(checker, node.budget, "the budget") if node.budget else program.CALLS_AT_MOST
    depth = constant_int(checker, node.depth, "the depth") if node.depth else None
    known = len(callees) == len(node.callees)
    found = (_clause(checker, clause, callees, known) for clause in node.clauses)
    return program.MayInvoke(callees, budget, tuple(item for item in found if item is not None), depth)


def _warn_of_conflicts(checker: Checker, node: nodes.Permission, callees: Iterable[Intrinsic | ToolDecl]) -> None:
    """The runtime hands over at the first token of an invocation: one must not begin like another."""
    seen: list[tuple[str, Intrinsic | ToolDecl]] = []
    for item in callees:
        text = item.invoke.constant if isinstance(item.invoke, program.Text) else item.invoke
        if text is None:
            continue
        for earlier, other in seen:
            if text.startswith(earlier) or earlier.startswith(text):
                note = Note(f"'{other.name}' is invoked by {earlier!r}", other.span)
                message = f"when the model writes {text!r}, is that '{item.name}' or '{other.name}'?"
                help = "give each an invocation that does not begin like another"
                checker.report.add("W0805", message, node.span, help, note)
        seen.append((text, item))


def _invocable(checker: Checker, name: nodes.Qualified) -> Intrinsic | ToolDecl | None:
    found = callee(checker, name)
    if found is None:
        return None
    if isinstance(found, ToolDecl):
        for parameter in found.parameters:
            check_range(checker.report, parameter.type, name.span)
        return found
    if isinstance(found, Intrinsic):
        return found
    what = "'generate'" if found == "generate" else f"the {kind_of(found).split()[-1]} '{written(name)}'"
    help = "call it in the flow, before or after the generation"
    checker.report.add("E0509", f"a model cannot call {what}: only intrinsics and tools", name.span, help)
    return None


def _clause(
    checker: Checker, node: nodes.OnClause, callees: tuple[Intrinsic | ToolDecl, ...], known: bool
) -> program.OnClause | None:
    """`known` where all that may be invoked are: else a name may be one that was wrong."""
    found = next((item for item in callees if item.name == node.callee.name.text), None)
    if found is None and known:
        names = [item.name for item in callees]
        listed = f"list it: 'may invoke [{', '.join([*names, written(node.callee)])}]'"
        help = did_you_mean(node.callee.name.text, names) or listed
        message = f"'{written(node.callee)}' is not among what may be invoked"
        checker.report.add("E0509", message, node.callee.span, help)
    if found is None:
        return None
    inner = checker.inside()
    binding = inner.bind(node.name, "pattern", found.result) if node.name else None
    action = node.action.text
    if action not in ("keep", "drop", "stop"):
        help = did_you_mean(action, ["keep", "drop", "stop"]) or "write 'keep', 'drop' or 'stop'"
        checker.report.add("E0509", f"there is no action '{action}'", node.action.span, help)
        return None
    condition = when(inner, node.condition)
    called = next((part for part in program.every(condition) if isinstance(part, CALLS)), None) if condition else None
    if called is not None:
        help = "call it before the generation, and name what it gives here"
        checker.report.add("E0509", "a clause decides at once: its condition calls nothing", called.span, help)
        return None
    return program.OnClause(found, binding, condition, action, node.span)  # type: ignore[arg-type]
