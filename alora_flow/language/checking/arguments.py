"""Arguments: which belongs to which parameter, field or setting, and whether it fits there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from alora_flow.frozen import dataclass
from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.fit import fit
from alora_flow.language.checking.scope import bad
from alora_flow.language.meaning.folding import fold, folded
from alora_flow.language.meaning.program import (
    Argument,
    Expression,
    Literal,
    Parameter,
)
from alora_flow.language.meaning.types import DURATION, ERROR, Type
from alora_flow.language.report.diagnostics import Note, did_you_mean
from alora_flow.language.report.source import Span
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.words import FOREIGN_SETTINGS

Bound: TypeAlias = nodes.CallNode | nodes.Mock | nodes.Invoking
"""What has a callee and arguments."""


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


def bind(
    checker: Checker, node: Bound, what: str, slots: Sequence[Slot], partial: bool = False
) -> tuple[Argument, ...]:
    """Arguments in the order of the slots, defaults filled in; `partial` leaves out what is not given.

    An unknown name was meant for a parameter that is missing: that one is not reported too.
    """
    given: dict[str, nodes.Argument] = {}
    unknown = 0
    for position, argument in enumerate(node.arguments):
        slot = _slot(checker, what, slots, position, argument)
        if slot is None:
            checker.value(argument.value, ERROR)
            unknown += argument.name is not None
        elif slot.name in given:
            note = Note("it is given here first", given[slot.name].span)
            checker.report.add("E0503", f"'{slot.name}' is given twice", argument.span, None, note)
        else:
            given[slot.name] = argument
    if not partial:
        missing = [slot for slot in slots if slot.required and slot.name not in given]
        _report_missing(checker, node, what, missing[unknown:])
    bound = [_argument(checker, slot, given.get(slot.name), node.span) for slot in slots]
    return tuple(item for item in bound if item is not None and (item.given or not partial))


def _argument(checker: Checker, slot: Slot, given: nodes.Argument | None, span: Span) -> Argument | None:
    if given is None:
        return None if slot.default is None else Argument(slot.name, folded(slot.default, span), given=False)
    notes = (Note(f"'{slot.name}' is declared here", slot.span),) if slot.span else ()
    return Argument(
        slot.name,
        fit(checker, checker.value(given.value, slot.type), slot.type, slot.label or f"'{slot.name}'", *notes),
    )


def _slot(checker: Checker, what: str, slots: Sequence[Slot], position: int, argument: nodes.Argument) -> Slot | None:
    report = checker.report
    if argument.name is None:
        if position < len(slots):
            return slots[position]
        taken = f"takes {counted(len(slots))}" if slots else "takes none"
        report.add("E0504", f"too many arguments: {what} {taken}", argument.span, _signature(slots))
        return None
    name = argument.name.text
    slot = next((slot for slot in slots if slot.name == name), None)
    if slot is None:
        help = did_you_mean(name, [slot.name for slot in slots]) or _signature(slots)
        report.add("E0502", f"{what} has no '{name}'", argument.name.span, help)
    return slot


def counted(number: int) -> str:
    return f"{number} argument{'' if number == 1 else 's'}"


def _signature(slots: Sequence[Slot]) -> str | None:
    return f"it takes ({', '.join(f'{slot.name}: {slot.type}' for slot in slots)})" if slots else None


def _report_missing(checker: Checker, node: Bound, what: str, missing: Sequence[Slot]) -> None:
    for slot in missing:
        notes = (Note(f"'{slot.name}' is declared here", slot.span),) if slot.span else ()
        help = f"add '{slot.name}: …'"
        checker.report.add("E0501", f"{what} needs '{slot.name}: {slot.type}'", node.callee.span, help, *notes)


def settings(
    checker: Checker, arguments: Sequence[nodes.Argument], table: Mapping[str, Type], what: str
) -> tuple[Argument, ...]:
    """Named settings of a table, in the order written."""
    found: dict[str, Argument] = {}
    report = checker.report
    for argument in arguments:
        name = argument.name.text if argument.name else None
        type = table.get(name or "")
        given = checker.value(argument.value, type or ERROR)
        if name is None or argument.name is None:
            report.add("E0504", f"{what} takes named settings only", argument.span, f"known are {', '.join(table)}")
        elif type is None:
            help = FOREIGN_SETTINGS.get(name) or did_you_mean(name, table) or f"known are {', '.join(table)}"
            report.add("E0306", f"{what} has no setting '{name}'", argument.name.span, help)
        elif name in found:
            note = Note("it is given here first", found[name].value.span)
            report.add("E0503", f"'{name}' is given twice", argument.span, None, note)
        else:
            fitted = fit(checker, given, type, f"'{name}'")
            found[name] = Argument(name, fold(fitted) or fitted)
            _has_time(checker, found[name])
    return tuple(found.values())


def _has_time(checker: Checker, setting: Argument) -> None:
    value = setting.value
    if setting.name == "timeout" and isinstance(value, Literal) and value.value == 0 and value.type == DURATION:
        help = "leave it out where it may take any time"
        checker.report.add("E0401", "'timeout' leaves no time", value.span, help)


def ignored(checker: Checker, node: nodes.CallNode) -> Expression:
    """Reads the arguments for names and errors of their own."""
    for argument in node.arguments:
        checker.value(argument.value, ERROR)
    return bad(node.span)
