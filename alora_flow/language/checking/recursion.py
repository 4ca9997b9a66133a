"""Flows that call themselves, directly or through others: allowed only where a `max_depth` bounds it."""

from __future__ import annotations

from collections.abc import Iterable

from alora_flow.language.checking.scope import Unit
from alora_flow.language.meaning.program import FlowDecl
from alora_flow.language.report.diagnostics import Note
from alora_flow.language.report.source import Span

Call = tuple[str, Span]


def check_recursion(units: Iterable[Unit]) -> None:
    for unit in units:
        flows = {flow.key: flow for flow in unit.symbols.values() if isinstance(flow, FlowDecl)}
        calls: dict[str, list[Call]] = {}
        for caller, callee, span in unit.calls:
            calls.setdefault(caller, []).append((callee, span))
        free = {
            key: [call for call in calls.get(key, []) if _free(flows, call[0])] for key in flows if _free(flows, key)
        }
        _report_cycles(unit, flows, free)
        for flow in flows.values():
            if flow.max_depth is not None and _way(calls, flow.key) is None:
                span = unit.declared[flow.name].span
                head = Span(span.source, span.start, flow.span.end)
                unit.report.add("W0804", f"'{flow.name}' never calls itself: 'max_depth' does nothing", head)


def _free(flows: dict[str, FlowDecl], key: str) -> bool:
    """Is nothing declared that bounds this flow's depth?"""
    return key in flows and flows[key].max_depth is None


def _report_cycles(unit: Unit, flows: dict[str, FlowDecl], calls: dict[str, list[Call]]) -> None:
    reported: set[str] = set()
    for key, flow in flows.items():
        way = _way(calls, key) if key in calls and key not in reported else None
        if way is None:
            continue
        reported |= {callee for callee, _ in way}
        chain = " → ".join([flow.name, *(flows[callee].name for callee, _ in way)])
        notes = [Note(f"'{flows[callee].name}' is called here", span) for callee, span in way[1:]]
        help = f"declare how deep it may go: 'flow {flow.name}(…) -> … max_depth 3 {{ … }}'"
        unit.report.add("E0607", f"this flow calls itself without a 'max_depth': {chain}", way[0][1], help, *notes)


def _way(calls: dict[str, list[Call]], start: str) -> list[Call] | None:
    """The shortest way from a flow back to itself, as calls."""
    waiting: list[list[Call]] = [[call] for call in calls.get(start, [])]
    seen: set[str] = set()
    while waiting:
        way = waiting.pop(0)
        last = way[-1][0]
        if last == start:
            return way
        if last not in seen:
            seen.add(last)
            waiting += [[*way, call] for call in calls.get(last, [])]
    return None
