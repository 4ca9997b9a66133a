"""Calls that the model makes itself: `may invoke […] budget 4 { on safety(v) when not v => stop }`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from alora_flow.language.checking.callees import callee
from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.frames import constant_int, when
from alora_flow.language.checking.scope import bad
from alora_flow.language.checking.types import written
from alora_flow.language.meaning import program
from alora_flow.language.meaning.failing import CALLS
from alora_flow.language.meaning.program import Intrinsic, ToolDecl
from alora_flow.language.meaning.types import (
    ERROR,
    ReplyType,
    Type,
    union,
)
from alora_flow.language.report.diagnostics import Note, did_you_mean
from alora_flow.language.syntax import nodes


def may_invoke(checker: Checker, node: nodes.MayInvoke) -> program.Expression:
    made = checker.value(node.call)
    callees = tuple(item for item in (_invocable(checker, name) for name in node.callees) if item is not None)
    for place, item in enumerate(callees):
        if item in callees[:place]:
            checker.report.add("E0509", f"'{item.name}' is listed twice", node.callees[-1].span, "leave one out")
            return bad(node.span)
    _warn_of_conflicts(checker, node, callees)
    budget = constant_int(checker, node.budget, "the budget") if node.budget else program.CALLS_AT_MOST
    known = len(callees) == len(node.callees)
    clauses = tuple(
        item for item in (_clause(checker, clause, callees, known) for clause in node.clauses) if item is not None
    )
    if not isinstance(made, program.Generate):
        if made.type != ERROR:
            checker.report.add("E0508", "'may invoke' belongs to 'generate'", node.call.span)
        return bad(node.span)
    if made.samples is not None:
        checker.report.add("E0508", "'may invoke' and 'n' do not go together", node.call.span, "leave 'n' out")
        return bad(node.span)
    if made.as_type is not None:
        help = "leave out 'as', or let the model call before it gives the value"
        checker.report.add("E0508", f"no call has a place in what is written of a '{made.as_type}'", node.span, help)
        return bad(node.span)
    type: Type = ReplyType(union(item.result for item in callees))
    may = program.MayInvoke(callees, budget, clauses)
    return replace(made, type=type, span=node.span, may_invoke=may)


def _warn_of_conflicts(checker: Checker, node: nodes.MayInvoke, callees: Iterable[Intrinsic | ToolDecl]) -> None:
    """The runtime hands over at the first token of an invocation: one must not begin like another."""
    seen: list[tuple[str, Intrinsic]] = []
    for item in callees:
        text = item.invoke.constant if isinstance(item, Intrinsic) and item.invoke is not None else None
        if text is None or not isinstance(item, Intrinsic):
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
    if isinstance(found, (Intrinsic, ToolDecl)):
        return found
    if found is not None:
        what = "'generate'" if found == "generate" else f"the flow '{written(name)}'"
        checker.report.add("E0509", f"a model cannot call {what}: only intrinsics and tools", name.span)
    return None


def _clause(
    checker: Checker, node: nodes.OnClause, callees: tuple[Intrinsic | ToolDecl, ...], known: bool
) -> program.OnClause | None:
    """`known` where all that may be invoked are: else a name may be one that was wrong."""
    found = next((item for item in callees if item.name == node.callee.name.text), None)
    if found is None and known:
        help = did_you_mean(node.callee.name.text, [item.name for item in callees])
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
