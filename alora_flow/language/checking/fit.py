"""Does a value fit where it stands? The messages for the one that does not, and the conversions there are."""

from __future__ import annotations

from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.scope import bad
from alora_flow.language.meaning.operators import widened
from alora_flow.language.meaning.program import Expression, FieldAccess, IsTest, ListValue, Literal, Text, TurnValue
from alora_flow.language.meaning.relations import assignable, is_data, union
from alora_flow.language.meaning.types import (
    BOOL,
    DOCUMENT,
    ERROR,
    NONE,
    STR,
    THREAD,
    BoolType,
    ChatType,
    DocumentType,
    DurationType,
    EnumType,
    FloatType,
    IntType,
    ListType,
    NoneType,
    OptionalType,
    ProbType,
    ReplyType,
    StrType,
    ThreadType,
    Type,
)
from alora_flow.language.report.diagnostics import Note
from alora_flow.language.syntax import nodes


def fit(checker: Checker, value: Expression, wanted: Type, what: str = "", *notes: Note) -> Expression:
    """`value`, or the error expression with a report that `what` (`"argument 'k'"`) has the wrong type."""
    if assignable(value.type, wanted):
        return value
    if isinstance(wanted, ThreadType):
        return as_turns(checker, value)
    message = f"{what + ' must be' if what else 'expected'} {wanted}, found {described(value, wanted)}"
    checker.report.add("E0401", message, value.span, conversion(value.type, wanted), *notes)
    return bad(value.span)


def wanted(checker: Checker, node: nodes.Expression, type: Type, what: str = "", *notes: Note) -> Expression:
    """The value of `node`, which must be of this type."""
    return fit(checker, checker.value(node, type), type, what, *notes)


def described(value: Expression, wanted: Type | None = None) -> str:
    """A number by itself, everything else by its type; as in `shown`."""
    if isinstance(value, Literal) and not isinstance(value.value, bool) and value.value is not None:
        return str(value.value)
    if isinstance(value, Text) and value.constant is not None and len(value.constant) <= 20:
        return f"the string {value.span.text}"
    return shown(value.type, wanted)


def shown(type: Type, wanted: Type | None = None) -> str:
    """A type; of a range of one number, the number. Ranges inside of others, which nobody wrote where they come from
    literals, only where they are why it is not what is `wanted`."""
    if isinstance(type, (IntType, FloatType)):
        return str(type.low if type.low == type.high is not None else type)
    plain = widened(type)
    return str(type if wanted is not None and assignable(plain, widened(wanted)) else plain)


LONGER = "a reply has a '.text'; one on a longer thread is 'generate(…) on (a + b)'"
"""For what is meant as a reply and is a thread: `on` takes what stands next to it."""


def conversion(given: Type, wanted: Type) -> str | None:
    """What to write instead."""
    if isinstance(given, OptionalType) and assignable(given.inner, wanted):
        return "it may be none: test it with 'is not none' before, or give a default with '??'"
    match given, wanted:
        case NoneType(), _ if is_data(wanted):
            return f"what may be none has the type '{union([OptionalType(wanted)])}'"
        case ProbType(), BoolType():
            return "compare its probability, as in '.p(true) > 0.5', or take '.top'"
        case ProbType(), _ if assignable(given.of, wanted):
            return "take its likeliest outcome with '.top'"
        case ReplyType(), _ if assignable(STR, wanted):
            return "take its text with '.text'"
        case ((IntType() | FloatType()), (IntType() | FloatType())):
            return _number(given, wanted)
        case StrType(), EnumType():
            return f"members are written without quotes: {', '.join(wanted.members)}"
        case ListType(element=DocumentType()), StrType():
            return "documents have a turn of their own: 'documents(…)'"
        case StrType(), ListType(element=DocumentType()):
            return "make a list of documents, as in '[document(…)]'"
        case ((IntType() | FloatType()), DurationType()):
            return "write a unit, as in '3s' or '500ms'"
        case StrType(), DocumentType():
            return "make it one with 'document(…)'"
        case DocumentType(), StrType():
            return "take its text with '.text'"
        case ThreadType(), StrType():
            return LONGER
        case _, StrType():
            return 'put it into a string, as in "{…}"'
        case _, ListType() if assignable(given, wanted.element):
            return "make a list of it, as in '[…]'"
        case ThreadType(), ChatType():
            return "read it as data with '.chat'"
    return None


def _number(given: IntType | FloatType, wanted: IntType | FloatType) -> str | None:
    if isinstance(wanted, IntType) and isinstance(given, FloatType):
        return "make it whole with 'round(…)'"
    if wanted.low is not None and wanted.high is not None:
        return f"keep it in range with 'clamp(…, {wanted.low}, {wanted.high})'"
    return None


def condition(checker: Checker, value: Expression, what: str) -> Expression:
    """What stands after `if`, `when`, `require`, `expect`."""
    if assignable(value.type, BOOL):
        return value
    help = conversion(value.type, BOOL) or _as_condition(value, what)
    checker.report.add("E0403", f"{what} must be bool, found {described(value)}", value.span, help)
    default = what == "an operand of 'or'"
    if isinstance(value.type, OptionalType) and not default:  # what is meant, so that no other error follows
        return IsTest(BOOL, value.span, value, NONE, True)
    return bad(value.span)


def _as_condition(value: Expression, what: str) -> str | None:
    """What to ask of a value that is not a bool; in other languages `or` gives a default as well."""
    text, default = value.span.text, what == "an operand of 'or'"
    match value.type:
        case OptionalType() if default:
            return f"a default for what may be none is written '{text} ?? …'"
        case OptionalType():
            asked = f"{text} is not none"
        case StrType() if not isinstance(value, Text):
            asked = f'{text} != ""'
        case ListType() | ChatType():
            asked = f"len({text}) > 0"
        case IntType() | FloatType() if not isinstance(value, Literal):
            asked = f"{text} != 0"
        case _:
            return None
    return f"write '{asked}'" + (f"; a default is written 'if {asked} {{ {text} }} else {{ … }}'" if default else "")


def as_turns(checker: Checker, value: Expression) -> Expression:
    """`value` as a part of a thread: a thread or chat, a reply's thread, a document as a turn of its own."""
    match value.type:
        case ReplyType():
            return FieldAccess(THREAD, value.span, value, "thread")
        case DocumentType():
            return TurnValue(THREAD, value.span, "documents", ListValue(ListType(DOCUMENT), value.span, (value,)))
    if assignable(value.type, THREAD):
        return value
    report_no_turn(checker, value)
    return bad(value.span)


def report_no_turn(checker: Checker, value: Expression) -> None:
    help = {
        StrType: "say whose turn it is: 'user(…)', 'assistant(…)' or 'system(…)'",
        ListType: "write 'documents(…)'",
    }.get(type(value.type))
    if value.type == ListType(THREAD):
        help = "turns are joined by '+', as in 'system(…) + user(…)'"
    message = f"expected a turn or a thread, found {described(value)}"
    checker.report.add("E0407", message, value.span, help)


def as_thread(checker: Checker, value: Expression) -> Expression:
    """What stands after `on`."""
    if isinstance(value.type, ReplyType):
        return FieldAccess(THREAD, value.span, value, "thread")
    if assignable(value.type, THREAD) or value.type == ERROR:
        return value
    help = "give it a thread, a chat or a reply; a new thread is written 'user(…)'"
    checker.report.add("E0406", f"'on' needs a thread, found {described(value)}", value.span, help)
    return bad(value.span)
