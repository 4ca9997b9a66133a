"""Calls within calls: an intrinsic that is invoked may invoke in turn, and how deep that goes is known before a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alora_flow.language.checking.scope import Permitted, Unit
from alora_flow.language.meaning.program import Intrinsic, MayInvoke

Chain = tuple[str, ...]
"""Those who call each other, first to last."""


def check_chains(units: Sequence[Unit]) -> None:
    """Each `may invoke` against the depth that it says, and circles that say none."""
    symbols = (symbol for unit in units for symbol in unit.symbols.values())
    declared = {symbol.key: symbol for symbol in symbols if isinstance(symbol, Intrinsic)}
    told: set[str] = set()
    for unit in units:
        for one in unit.invoking:
            circle = _circle(one, declared)
            if circle is None or any(_limited(declared[key]) for key in circle):
                _check_depth(unit, one, declared)
            elif told.isdisjoint(circle):
                told.update(circle)
                _report_circle(unit, one, circle, declared)


def _limited(intrinsic: Intrinsic) -> bool:
    return intrinsic.may_invoke is not None and intrinsic.may_invoke.depth is not None


def _report_circle(unit: Unit, one: Permitted, circle: Chain, declared: Mapping[str, Intrinsic]) -> None:
    shown = " → ".join(declared[key].name for key in (*circle, circle[0]))
    help = f"say how deep it may go: 'may invoke [{', '.join(item.name for item in one.may.callees)}] depth 2'"
    unit.report.add("E0607", f"this intrinsic invokes itself without a 'depth': {shown}", one.node.span, help)


def _check_depth(unit: Unit, one: Permitted, declared: Mapping[str, Intrinsic]) -> None:
    if one.may.depth is None or one.node.depth is None:
        return
    longest = _longest(one.may, (one.owner,), declared)
    if len(longest) > one.may.depth:
        shown = " → ".join((declared[one.owner].name if one.owner else "generate", *longest))
        message = f"the calls go {len(longest)} deep, and the depth is {one.may.depth}: {shown}"
        unit.report.add("E0607", message, one.node.depth.span, f"write 'depth {len(longest)}'")


def _circle(one: Permitted, declared: Mapping[str, Intrinsic]) -> Chain | None:
    """The shortest way from an intrinsic back to itself, by keys; None for a generation."""
    ways: list[Chain] = [(one.owner, item.key) for item in one.may.callees if one.owner]
    seen: set[str] = set()
    for way in ways:  # which grows
        if way[-1] == one.owner:
            return way[:-1]
        inner = declared[way[-1]].may_invoke if way[-1] in declared else None  # a tool calls nobody
        if inner is not None and way[-1] not in seen:
            ways += [(*way, item.key) for item in inner.callees]
        seen.add(way[-1])
    return None


def _longest(may: MayInvoke, callers: Chain, declared: Mapping[str, Intrinsic]) -> Chain:
    """The longest chain of calls in which nobody calls twice, by names. `callers`: keys of those who have called."""
    found: list[Chain] = [()]
    for item in may.callees:
        inner = declared[item.key].may_invoke if isinstance(item, Intrinsic) and item.key not in callers else None
        found.append((item.name, *(_longest(inner, (*callers, item.key), declared) if inner else ())))
    return max(found, key=len)
