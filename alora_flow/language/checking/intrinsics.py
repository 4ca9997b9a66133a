"""An intrinsic's contract: what is appended, what the adapter may write, what the flow sees of it."""

from __future__ import annotations

from typing import Literal as OneOf

from alora_flow.language.checking.arguments import settings
from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.fit import conversion, described
from alora_flow.language.checking.generations import check_digits, check_range
from alora_flow.language.checking.retries import check_retry
from alora_flow.language.checking.scope import Scope, Unit
from alora_flow.language.checking.types import resolve_data, resolve_result
from alora_flow.language.checking.values import reader
from alora_flow.language.meaning.folding import constant_text, fold
from alora_flow.language.meaning.program import (
    Binary,
    Binding,
    Choices,
    Expected,
    Expression,
    Intrinsic,
    ListValue,
    Parameter,
    Reference,
    Text,
    every,
)
from alora_flow.language.meaning.relations import MOST_CHOICES, assignable, is_choice
from alora_flow.language.meaning.settings import SAMPLING
from alora_flow.language.meaning.types import ERROR, STR, EnumType, ProbType, Type
from alora_flow.language.report.diagnostics import Note, did_you_mean, one_of
from alora_flow.language.report.source import Span
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.strings import encode

Head = tuple[str, str, str, Span]


def intrinsic(unit: Unit, node: nodes.Intrinsic, head: Head, parameters: tuple[Parameter, ...]) -> Intrinsic:
    result = resolve_result(unit, node.result, "the result of an intrinsic")
    checker = reader(Scope(unit, in_value=True))
    for parameter in parameters:
        checker.scope.adopt(parameter.binding)
    given = settings(checker, node.settings.arguments, SAMPLING, "an intrinsic") if node.settings else ()
    for item in given:
        if fold(item.value) is None and item.value.type != ERROR:
            unit.report.add("E0208", f"'{item.name}' must be a constant", item.value.span)
    items = _items(unit, node)
    emits = _emits(unit, items.get("emits"))
    check_retry(checker, [item for item in given if fold(item.value) is not None], _written(emits, result))
    it = _it(unit, items["value"], emits) if "value" in items else None
    if not isinstance(emits, Choices) and node.library is None:
        check_range(unit.report, emits or result, items["emits"].span if emits else node.result.span)
        check_digits(unit.report, emits or result, given)
    return Intrinsic(
        *head,
        parameters,
        result,
        adapter=_adapter(unit, node, items),
        invoke=_invoke(checker, items.get("invoke")),
        emits=emits,
        value=_value(checker, node, items, result, emits, it),
        activate=_activate(unit, items.get("activate")),
        from_library=_text(unit, node.library) if node.library else None,
        settings=given,
        it=it,
    )


def _written(emits: Choices | Type | None, result: Type) -> Type:
    """The type of what the adapter writes, as far as the flow says it."""
    return result if emits is None or isinstance(emits, Choices) else emits


def _items(unit: Unit, node: nodes.Intrinsic) -> dict[str, nodes.Item]:
    found: dict[str, nodes.Item] = {}
    for item in node.items:
        earlier = found.setdefault(item.keyword.text, item)
        if earlier is not item:
            note = Note("it stands here first", earlier.span)
            unit.report.add("E0207", f"a second '{item.keyword.text}'", item.span, None, note)
    if node.library is None and "adapter" not in found:
        help = 'write \'adapter "name"\', or the short form: from "name"'
        unit.report.add("E0207", f"'{node.name.text}' names no adapter", node.name.span, help)
    return found


def _adapter(unit: Unit, node: nodes.Intrinsic, items: dict[str, nodes.Item]) -> str | None:
    item = items.get("adapter")
    return _text(unit, item.value) if item and isinstance(item.value, nodes.String) else None


def _text(unit: Unit, string: nodes.String) -> str:
    if any(not isinstance(part, str) for part in string.parts):
        unit.report.add("E0208", "the name of an adapter must be a constant: it has a hole", string.span)
    elif not string.text:
        unit.report.add("E0205", "the name of an adapter is empty", string.span)
    return string.text


def _invoke(checker: Checker, item: nodes.Item | None) -> Text | None:
    if item is None or not isinstance(item.value, nodes.String):
        return None
    found = checker.value(item.value)
    return found if isinstance(found, Text) else None


def _emits(unit: Unit, item: nodes.Item | None) -> Choices | Type | None:
    if item is None:
        return None
    if isinstance(item.value, nodes.Choices):
        return _choices(unit, item.value)
    assert not isinstance(item.value, nodes.Identifier)
    found = resolve_data(unit, item.value, "what an adapter emits")  # type: ignore[arg-type]
    return None if found == ERROR else found


def _choices(unit: Unit, node: nodes.Choices) -> Choices:
    seen: dict[str, nodes.String] = {}
    for option in node.options:
        if any(not isinstance(part, str) for part in option.parts):
            unit.report.add("E0208", "what may be emitted must be a constant: it has a hole", option.span)
        elif not option.text:
            unit.report.add("E0205", "nothing cannot be emitted: this string is empty", option.span)
        elif option.text in seen:
            note = Note("it stands here first", seen[option.text].span)
            unit.report.add("E0203", f"a second choice {option.span.text}", option.span, None, note)
        seen.setdefault(option.text, option)
    return Choices(tuple(seen))


def _it(unit: Unit, item: nodes.Item, emits: Choices | Type | None) -> Binding:
    type: Type = STR if emits is None or isinstance(emits, Choices) else emits
    return unit.binding(nodes.Identifier(item.keyword.span, "it"), "it", type)


def _value(
    checker: Checker,
    node: nodes.Intrinsic,
    items: dict[str, nodes.Item],
    result: Type,
    emits: Choices | Type | None,
    it: Binding | None,
) -> Expression | None:
    wanted: Type = result.of if isinstance(result, ProbType) else result
    chosen = isinstance(emits, Choices) or is_choice(wanted if emits is None else emits)
    if node.library is None and isinstance(result, ProbType) and not chosen:
        help = f"emit a bool, an enum, strings, or an int range of at most {MOST_CHOICES} numbers"
        message = f"'{node.name.text}' gives a distribution, and there is none over {emits or wanted}"
        checker.report.add("E0207", message, node.result.span, help)
    if it is None:
        _emitted_is_result(checker.unit, node, items.get("emits"), emits, wanted)
        return None
    checker.scope.adopt(it)
    found = checker.value(items["value"].value, wanted)  # type: ignore[arg-type]
    if isinstance(emits, Choices):
        _never_emitted(checker.unit, found, emits)
    for part in every(found) if not chosen else ():
        if isinstance(part, Expected):
            help = f"it is over a bool, an enum, strings, or an int range of at most {MOST_CHOICES} numbers"
            checker.report.add("E0207", f"there is no distribution over {emits or wanted}", part.span, help)
    if not assignable(found.type, wanted):
        note = Note("the result stands here", node.result.span)
        message = f"the value must be {wanted}, found {described(found, wanted)}"
        checker.report.add("E0401", message, found.span, conversion(found.type, wanted), note)
    return found


def _never_emitted(unit: Unit, value: Expression, emits: Choices) -> None:
    """Reports what `it` is compared with, and never is."""
    for part in every(value):
        match part:
            case Binary(operator="==" | "!=", left=Reference(binding=Binding(kind="it")), right=Text() as other):
                _report_never_emitted(unit, other, emits)
            case Binary(operator="==" | "!=", left=Text() as other, right=Reference(binding=Binding(kind="it"))):
                _report_never_emitted(unit, other, emits)
            case Binary(operator="in", left=Reference(binding=Binding(kind="it")), right=ListValue(items=items)):
                for item in items:
                    _report_never_emitted(unit, item, emits)


def _report_never_emitted(unit: Unit, other: Expression, emits: Choices) -> None:
    text = constant_text(other)
    if text is not None and text not in emits.options:
        near = {option.lower(): option for option in emits.options}.get(text.lower())
        known = one_of([f'"{encode(option)}"' for option in emits.options])
        help = f'did you mean "{encode(near)}"?' if near else f"what may be emitted is {known}"
        unit.report.add("E0405", f"this is never so: {other.span.text} is never emitted", other.span, help)


def _emitted_is_result(
    unit: Unit, node: nodes.Intrinsic, item: nodes.Item | None, emits: Choices | Type | None, wanted: Type
) -> None:
    """Without a `value`, what is emitted is the result."""
    if item is None or emits is None or wanted == ERROR:
        return
    if isinstance(emits, Choices):
        fits = assignable(STR, wanted) or (isinstance(wanted, EnumType) and set(emits.options) <= set(wanted.texts))
        what = "one of its strings"
    else:
        fits, what = assignable(emits, wanted), str(emits)
    if not fits:
        note = Note("the result stands here", node.result.span)
        help = "say what it means with 'value', as in 'value it == \"Y\"'"
        message = f"'{node.name.text}' emits {what}, but gives {node.result.span.text}"
        unit.report.add("E0207", message, item.span, help, note)


def _activate(unit: Unit, item: nodes.Item | None) -> OneOf["start", "end"] | None:
    if item is None or not isinstance(item.value, nodes.Identifier):
        return None
    match item.value.text:
        case "start":
            return "start"
        case "end":
            return "end"
    help = did_you_mean(item.value.text, ["start", "end"]) or "write 'start' or 'end'"
    unit.report.add("E0207", f"an adapter cannot activate at '{item.value.text}'", item.value.span, help)
    return None
