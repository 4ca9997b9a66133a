"""Operators and `is`: what they take, what they give, what they say about names."""

from __future__ import annotations

from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.fit import as_turns, condition, conversion, described, shown
from alora_flow.language.checking.scope import bad
from alora_flow.language.checking.types import resolve
from alora_flow.language.meaning.narrowing import facts
from alora_flow.language.meaning.operators import binary_type, negative_type, never
from alora_flow.language.meaning.program import (
    Binary,
    Expression,
    IsTest,
    Join,
    Literal,
    Unary,
)
from alora_flow.language.meaning.relations import assignable, is_data, may_be, union
from alora_flow.language.meaning.types import (
    BOOL,
    ERROR,
    FLOAT,
    STR,
    THREAD,
    BoolType,
    ChatType,
    DocumentType,
    EnumType,
    FloatType,
    IntType,
    ListType,
    OptionalType,
    ProbType,
    RecordType,
    ReplyType,
    ThreadType,
    Type,
    alternatives,
)
from alora_flow.language.report.diagnostics import Note
from alora_flow.language.syntax import nodes


def enum_with(expected: Type | None, member: str) -> EnumType | None:
    for part in alternatives(expected) if expected is not None else ():
        if isinstance(part, EnumType) and member in part.members:
            return part
    return None


def unary(checker: Checker, node: nodes.Unary) -> Expression:
    if node.operator == "not":
        return Unary(BOOL, node.span, "not", condition(checker, checker.value(node.operand), "the operand of 'not'"))
    operand = checker.value(node.operand)
    type = negative_type(operand.type)
    if isinstance(operand, Literal) and isinstance(operand.value, (int, float)) and type is not None:
        return Literal(type, node.span, -operand.value)
    if type is None:
        if operand.type != ERROR:
            checker.report.add("E0402", f"'-' needs a number, found {described(operand)}", operand.span)
        return bad(node.span)
    return Unary(type, node.span, "-", operand)


def binary(checker: Checker, node: nodes.Binary, expected: Type | None) -> Expression:
    left, right = _operands(checker, node, expected)
    if ERROR in (left.type, right.type):
        logical = node.operator in ("and", "or")
        return Binary(ERROR, node.span, node.operator, left, right) if logical else bad(node.span)  # type: ignore[arg-type]
    if node.operator == "+" and (_is_turns(left.type) or _is_turns(right.type)):
        return _join(checker, node, left, right)
    type = binary_type(node.operator, left.type, right.type)
    if type is None:
        _report_operands(checker, node, left, right)
        return bad(node.span)
    found = Binary(type, node.span, node.operator, left, right)  # type: ignore[arg-type]
    if never(node.operator, left.type, right.type) and not _both_single(left.type, right.type):
        message = f"this is never so: {described(left)} is never {COMPARED[node.operator]}{described(right)}"
        checker.report.add("E0405", message, node.span)
    return found


COMPARED = {"==": "", "<": "less than ", "<=": "as small as ", ">": "more than ", ">=": "as large as "}


def _both_single(left: Type, right: Type) -> bool:
    """What is decided by the numbers that stand in the file may be meant."""
    return all(isinstance(side, (IntType, FloatType)) and side.low == side.high is not None for side in (left, right))


def _operands(checker: Checker, node: nodes.Binary, expected: Type | None) -> tuple[Expression, Expression]:
    """Both sides; a bare enum member finds its enum through the other side, narrowing runs from left to right."""
    if node.operator in ("and", "or"):
        left = condition(checker, checker.value(node.left), f"an operand of '{node.operator}'")
        inner = checker.inside(facts(left, node.operator == "and"))
        right = inner.value(node.right)
        if left.type == ERROR and not isinstance(right.type, BoolType):
            return left, right  # one finding is enough for 'x or "default"'
        return left, condition(inner, right, f"an operand of '{node.operator}'")
    if node.operator in ("==", "!=") and _is_unbound(checker, node.left) and not _is_unbound(checker, node.right):
        right = checker.value(node.right)
        return checker.value(node.left, right.type), right
    side = expected if node.operator in ("+", "??") else None
    if node.operator == "??" and expected is not None:
        side = union([OptionalType(expected)])
    left = checker.value(node.left, side)
    return left, checker.value(node.right, _hint(node.operator, left.type, side))


def _hint(operator: str, left: Type, expected: Type | None) -> Type | None:
    if operator in ("==", "!="):
        return left
    if operator in ("in", "not in"):
        return ListType(left)
    return left.inner if operator == "??" and isinstance(left, OptionalType) else expected


def _is_unbound(checker: Checker, node: nodes.Expression) -> bool:
    return isinstance(node, nodes.Name) and checker.find(node.text) is None and node.text not in checker.unit.declared


def _is_turns(type: Type) -> bool:
    return isinstance(type, (ThreadType, ChatType, ReplyType, DocumentType))


def _join(checker: Checker, node: nodes.Binary, left: Expression, right: Expression) -> Expression:
    if isinstance(right.type, ReplyType):
        text = right.span.text
        message = f"a reply brings the whole thread that it was generated on, here behind {left.span.text}"
        help = f"begin with it, write 'assistant({text}.text)' for its turn alone, or '{text}.thread' if this is meant"
        checker.report.add("W0807", message, right.span, help)
    sides = [as_turns(checker, left), as_turns(checker, right)]
    if any(side.type == ERROR for side in sides):
        return bad(node.span)
    parts: list[Expression] = []
    for side in sides:
        parts += side.parts if isinstance(side, Join) else [side]
    return Join(THREAD, node.span, tuple(parts))


def _report_operands(checker: Checker, node: nodes.Binary, left: Expression, right: Expression) -> None:
    message = f"'{node.operator}' does not take {described(left)} and {described(right)}"
    help = _operand_help(node, left.type, right.type)
    notes = (Note(f"this is {described(left)}", left.span), Note(f"this is {described(right)}", right.span))
    checker.report.add("E0402", message, node.mark, help, *notes)


ORDERS = ("<", ">", "<=", ">=")


def _operand_help(node: nodes.Binary, left: Type, right: Type) -> str | None:
    operator = node.operator
    if operator == "%" and left == STR:
        return 'values stand in a string in braces, as in "{…}"'
    if operator == "??":
        return "'??' gives a default for what may be none, and this never is"
    for given, other in ((left, right), (right, left)):
        if isinstance(given, ProbType):
            return conversion(given, other if operator != "+" else FLOAT) or "ask for '.p(outcome)'"
        if isinstance(given, OptionalType) and binary_type(operator, given.inner, other) is not None:
            return conversion(given, given.inner)
        if given == STR and operator == "+" and is_data(other):
            return 'put it into a string, as in "{…}"'
    member = _as_member(node, left, right) or _as_member(node, right, left)
    if member is not None:
        return member
    if operator in ("==", "!=") and is_data(left) and is_data(right):
        return f"{shown(left)} never equals {shown(right)}"
    if BOOL in (left, right) and operator in ORDERS:
        if any(isinstance(side, nodes.Binary) and side.operator in ORDERS for side in (node.left, node.right)):
            return "comparisons do not chain: write 'a < b and b < c'"
        return "a bool is true or false, and neither is more: write it alone, or 'not' before it"
    return None


def _as_member(node: nodes.Binary, one: Type, other: Type) -> str | None:
    """`kind == "question"`, where the member is meant whose name or text this is."""
    enum = next((part for part in alternatives(one) if isinstance(part, EnumType)), None)
    text = next((side.text for side in (node.left, node.right) if isinstance(side, nodes.String)), None)
    if enum is None or other != STR or node.operator not in ("==", "!="):
        return None
    meant = next((member for member in enum.members if text in (member, enum.text(member))), None)
    return f"write '{meant}' without quotes" if meant else f"its members are {', '.join(enum.members)}"


def is_test(checker: Checker, node: nodes.IsTest) -> Expression:
    operand = checker.value(node.operand)
    if isinstance(node.tested, nodes.NamedType) and node.tested.name.qualifier is None:
        enum = enum_with(operand.type, node.tested.name.name.text)
        if enum is not None and checker.unit.find(node.tested.name.name.text) is None:
            return _report_member_test(checker, node, operand)
    tested = resolve(checker.unit, node.tested)
    if ERROR in (operand.type, tested):
        return IsTest(ERROR, node.span, operand, ERROR, node.negated)
    parts = alternatives(operand.type)
    inside = [may_be(part, tested) for part in parts]
    if not any(inside):
        always = "always" if node.negated else "never"
        message = f"this is {always} so: {described(operand)} is never {tested}"
        checker.report.add("E0405", message, node.span, _declared_at(operand))
    elif all(assignable(part, tested) for part in parts):
        always = "never" if node.negated else "always"
        message = f"this is {always} so: {described(operand)} is always {tested}"
        checker.report.add("E0405", message, node.span, _declared_at(operand))
    return IsTest(BOOL, node.span, operand, tested, node.negated)


def _report_member_test(checker: Checker, node: nodes.IsTest, operand: Expression) -> Expression:
    member = node.tested.span.text
    help = f"compare values with '{'!=' if node.negated else '=='} {member}'; 'is' tests a type"
    checker.report.add("E0305", f"'{member}' is a member of {operand.type}, not a type", node.tested.span, help)
    return bad(node.span)


def _declared_at(operand: Expression) -> str | None:
    return None if isinstance(operand.type, RecordType) else "leave the test out"
