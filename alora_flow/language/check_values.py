"""Expressions: from what is written to what is meant, with its type."""

from __future__ import annotations

from alora_flow.language import nodes
from alora_flow.language.builtins import FUNCTIONS, OWN_NAMES
from alora_flow.language.check_callees import CALLABLE
from alora_flow.language.check_calls import call, run
from alora_flow.language.check_fit import as_turns, condition, conversion, described, fit
from alora_flow.language.check_scope import Scope, Symbol, bad, kind_of
from alora_flow.language.check_types import resolve
from alora_flow.language.diagnostics import Note, did_you_mean
from alora_flow.language.folding import folded
from alora_flow.language.narrowing import facts
from alora_flow.language.operators import binary_type, negative_type
from alora_flow.language.program import (
    PLAN_FIELDS,
    Binary,
    ConstDecl,
    EnumDecl,
    EnumMember,
    Expression,
    FieldAccess,
    Hole,
    Index,
    IsTest,
    Join,
    ListValue,
    Literal,
    Mean,
    PlanField,
    RecordDecl,
    Reference,
    Text,
    Top,
    Unary,
)
from alora_flow.language.types import (
    BOOL,
    DURATION,
    ERROR,
    FLOAT,
    INT,
    NEVER,
    NONE,
    STR,
    THREAD,
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
    UnionType,
    alternatives,
    assignable,
    fields_of,
    is_data,
    union,
)
from alora_flow.language.words import FOREIGN

FOREIGN_VALUES = ("True", "False", "None", "null")


def value(scope: Scope, node: nodes.Expression, expected: Type | None = None) -> Expression:
    """`expected` only helps to find enum members and the types of empty lists; it is `fit` that demands."""
    match node:
        case nodes.Number():
            return _number(node)
        case nodes.Duration():
            return Literal(DURATION, node.span, node.seconds)
        case nodes.Boolean():
            return Literal(BOOL, node.span, node.value)
        case nodes.NoneValue():
            return Literal(NONE, node.span, None)
        case nodes.String():
            return _string(scope, node)
        case nodes.Name():
            return _name(scope, node, expected)
        case nodes.List():
            return _list(scope, node, expected)
        case nodes.Access():
            return _access(scope, node)
        case nodes.Index():
            return _index(scope, node)
        case nodes.Call():
            return call(scope, node, expected, value)
        case nodes.Run():
            return run(scope, node, value)
        case nodes.Unary():
            return _unary(scope, node)
        case nodes.Binary():
            return _binary(scope, node, expected)
        case nodes.IsTest():
            return _is_test(scope, node)
    raise AssertionError(f"{type(node).__name__} stands in statements only")


def wanted(scope: Scope, node: nodes.Expression, type: Type, what: str = "", *notes: Note) -> Expression:
    """The value of `node`, which must be of this type."""
    return fit(scope, value(scope, node, type), type, what, *notes)


def _number(node: nodes.Number) -> Expression:
    number = node.value
    type = IntType(number, number) if isinstance(number, int) else FloatType(number, number)
    return Literal(type, node.span, number)


def _string(scope: Scope, node: nodes.String) -> Expression:
    parts: list[str | Hole] = []
    for part in node.parts:
        parts.append(part if isinstance(part, str) else Hole(_hole(scope, part)))
    return Text(STR, node.span, tuple(parts))


def _hole(scope: Scope, node: nodes.Expression) -> Expression:
    found = value(scope, node)
    if is_data(found.type):
        return found
    help = conversion(found.type, STR) if isinstance(found.type, (ReplyType, ProbType)) else None
    scope.unit.report.add("E0408", f"a hole takes data, found {found.type}", found.span, help)
    return bad(node.span)


def _name(scope: Scope, node: nodes.Name, expected: Type | None) -> Expression:
    binding = scope.find(node.text)
    if binding is not None:
        scope.unit.used_ids.add(binding.id)
        return Reference(scope.type_of(binding), node.span, binding)
    symbol = scope.unit.find(node.text)
    if isinstance(symbol, ConstDecl):
        return folded(symbol.value, node.span)
    enum = _enum_with(expected, node.text)
    if enum is not None:
        return EnumMember(enum, node.span, node.text)
    if node.text not in scope.unit.declared or symbol is not None:
        _report_name(scope, node, symbol, expected)
    return bad(node.span)


def _enum_with(expected: Type | None, member: str) -> EnumType | None:
    for part in alternatives(expected) if expected is not None else ():
        if isinstance(part, EnumType) and member in part.members:
            return part
    return None


def _report_name(scope: Scope, node: nodes.Name, symbol: Symbol | None, expected: Type | None) -> None:
    report, text = scope.unit.report, node.text
    if symbol is not None:
        note = Note(f"'{text}' is declared here", symbol.span)
        help = f"call it: {text}(…)" if isinstance(symbol, (RecordDecl, *CALLABLE)) else None
        report.add("E0305", f"expected a value, and '{text}' is {kind_of(symbol)}", node.span, help, note)
        return
    if text in FUNCTIONS or text in OWN_NAMES:
        help = "only tests can read the plan" if text == "plan" else f"call it: {text}(…)"
        report.add("E0305", f"expected a value, and '{text}' is a word of the language", node.span, help)
        return
    enums = [part for part in alternatives(expected) if isinstance(part, EnumType)] if expected is not None else []
    if enums:
        help = did_you_mean(text, enums[0].members) or f"its members are {', '.join(enums[0].members)}"
        report.add("E0304", f"'{enums[0].name}' has no member '{text}'", node.span, help)
        return
    known = [*scope.names(), *scope.unit.names(ConstDecl)]
    help = FOREIGN[text] if text in FOREIGN_VALUES else did_you_mean(text, known)
    report.add("E0302", f"unknown name '{text}'", node.span, help)


def _list(scope: Scope, node: nodes.List, expected: Type | None) -> Expression:
    inner = next((part.element for part in _parts(expected) if isinstance(part, ListType)), None)
    items = tuple(value(scope, item, inner) for item in node.items)
    element: Type = union(item.type for item in items) if items else NEVER
    if any(item.type == ERROR for item in items):
        element = ERROR
    return ListValue(ListType(element), node.span, items)


def _parts(expected: Type | None) -> tuple[Type, ...]:
    return alternatives(expected) if expected is not None else ()


# ------------------------------------------------------------- fields and items


def _access(scope: Scope, node: nodes.Access) -> Expression:
    if isinstance(node.target, nodes.Name) and scope.find(node.target.text) is None:
        found = _qualified(scope, node, node.target)
        if found is not None:
            return found
    target = value(scope, node.target)
    name = node.name.text
    if target.type == ERROR:
        return bad(node.span)
    if isinstance(target.type, ProbType) and name in ("top", "expected"):
        type = fields_of(target.type)[name]
        return Top(type, node.span, target) if name == "top" else Mean(type, node.span, target)
    types = [fields_of(part).get(name) for part in alternatives(target.type)]
    if all(type is not None for type in types):
        return FieldAccess(union(type for type in types if type is not None), node.span, target, name)
    _report_field(scope, node, target)
    return bad(node.span)


def _qualified(scope: Scope, node: nodes.Access, qualifier: nodes.Name) -> Expression | None:
    """`Stage.input`, `checks.LIMIT`, `plan.reused`; None when the part before the dot is an ordinary value."""
    unit, name = scope.unit, node.name.text
    if qualifier.text == "plan" and scope.in_test:
        return _plan_field(scope, node)
    if qualifier.text in unit.imports:
        return _imported(scope, node, qualifier.text)
    symbol = unit.find(qualifier.text)
    if isinstance(symbol, EnumDecl):
        return _member(scope, node, symbol.type)
    if symbol is not None and not isinstance(symbol, ConstDecl):
        note = Note(f"'{qualifier.text}' is declared here", symbol.span)
        message = f"'{qualifier.text}' is {kind_of(symbol)} and has no '{name}'"
        unit.report.add("E0305", message, node.span, None, note)
        return bad(node.span)
    return None


def _plan_field(scope: Scope, node: nodes.Access) -> Expression:
    type = PLAN_FIELDS.get(node.name.text)
    if type is not None:
        return PlanField(type, node.span, node.name.text)
    help = did_you_mean(node.name.text, PLAN_FIELDS) or f"known are {', '.join(PLAN_FIELDS)}"
    scope.unit.report.add("E0307", f"the plan has no figure '{node.name.text}'", node.name.span, help)
    return bad(node.span)


def _imported(scope: Scope, node: nodes.Access, alias: str) -> Expression:
    scope.unit.used.add(alias)
    imported = scope.unit.imports[alias]
    symbol = imported.find(node.name.text) if imported else None
    if isinstance(symbol, ConstDecl):
        return folded(symbol.value, node.span)
    if imported is not None and symbol is not None:
        help = f"call it: {alias}.{node.name.text}(…)" if isinstance(symbol, CALLABLE) else None
        message = f"expected a value, and '{alias}.{node.name.text}' is {kind_of(symbol)}"
        scope.unit.report.add("E0305", message, node.span, help)
    elif imported is not None:
        help = did_you_mean(node.name.text, imported.names(ConstDecl))
        scope.unit.report.add("E0302", f"'{alias}' declares no '{node.name.text}'", node.name.span, help)
    return bad(node.span)


def _member(scope: Scope, node: nodes.Access, enum: EnumType) -> Expression:
    if node.name.text in enum.members:
        return EnumMember(enum, node.span, node.name.text)
    help = did_you_mean(node.name.text, enum.members) or f"its members are {', '.join(enum.members)}"
    scope.unit.report.add("E0304", f"'{enum.name}' has no member '{node.name.text}'", node.name.span, help)
    return bad(node.span)


def _report_field(scope: Scope, node: nodes.Access, target: Expression) -> None:
    name = node.name.text
    known = [field for part in alternatives(target.type) for field in fields_of(part)]
    message = f"{described(target)} has no field '{name}'"
    help = did_you_mean(name, known) or (f"its fields are {', '.join(known)}" if known else None)
    if name in known and isinstance(target.type, (OptionalType, UnionType)):
        message = f"not every {target.type} has a field '{name}'"
        help = "test first which it is, with 'is' or 'match'"
    elif isinstance(target.type, ProbType):
        help = "ask for '.p(outcome)', '.top' or '.expected'"
    scope.unit.report.add("E0303", message, node.name.span, help)


def _index(scope: Scope, node: nodes.Index) -> Expression:
    target = value(scope, node.target)
    index = wanted(scope, node.index, INT, "an index")
    if isinstance(target.type, ListType):
        return Index(target.type.element, node.span, target, index)
    if target.type != ERROR:
        message = f"only lists have elements, and this is {described(target)}"
        scope.unit.report.add("E0402", message, target.span)
    return bad(node.span)


# ---------------------------------------------------------------------- operators


def _unary(scope: Scope, node: nodes.Unary) -> Expression:
    if node.operator == "not":
        return Unary(BOOL, node.span, "not", condition(scope, value(scope, node.operand), "the operand of 'not'"))
    operand = value(scope, node.operand)
    type = negative_type(operand.type)
    if isinstance(operand, Literal) and isinstance(operand.value, (int, float)) and type is not None:
        return Literal(type, node.span, -operand.value)
    if type is None:
        if operand.type != ERROR:
            scope.unit.report.add("E0402", f"'-' needs a number, found {described(operand)}", operand.span)
        return bad(node.span)
    return Unary(type, node.span, "-", operand)


def _binary(scope: Scope, node: nodes.Binary, expected: Type | None) -> Expression:
    left, right = _operands(scope, node, expected)
    if ERROR in (left.type, right.type):
        return bad(node.span)
    if node.operator == "+" and (_is_turns(left.type) or _is_turns(right.type)):
        return _join(scope, node, left, right)
    type = binary_type(node.operator, left.type, right.type)
    if type is None:
        _report_operands(scope, node, left, right)
        return bad(node.span)
    return Binary(type, node.span, node.operator, left, right)  # type: ignore[arg-type]


def _operands(scope: Scope, node: nodes.Binary, expected: Type | None) -> tuple[Expression, Expression]:
    """Both sides; a bare enum member finds its enum through the other side, narrowing runs from left to right."""
    if node.operator in ("and", "or"):
        left = condition(scope, value(scope, node.left), f"an operand of '{node.operator}'")
        inner = scope.child(facts(left, node.operator == "and"))
        return left, condition(inner, value(inner, node.right), f"an operand of '{node.operator}'")
    if node.operator in ("==", "!=") and _is_unbound(scope, node.left) and not _is_unbound(scope, node.right):
        right = value(scope, node.right)
        return value(scope, node.left, right.type), right
    side = expected if node.operator in ("+", "??") else None
    if node.operator == "??" and expected is not None:
        side = union([OptionalType(expected)])
    left = value(scope, node.left, side)
    return left, value(scope, node.right, _hint(node.operator, left.type, side))


def _hint(operator: str, left: Type, expected: Type | None) -> Type | None:
    if operator in ("==", "!=", "in"):
        return left
    return left.inner if operator == "??" and isinstance(left, OptionalType) else expected


def _is_unbound(scope: Scope, node: nodes.Expression) -> bool:
    return isinstance(node, nodes.Name) and scope.find(node.text) is None and node.text not in scope.unit.declared


def _is_turns(type: Type) -> bool:
    return isinstance(type, (ThreadType, ChatType, ReplyType, DocumentType))


def _join(scope: Scope, node: nodes.Binary, left: Expression, right: Expression) -> Expression:
    sides = [as_turns(scope, left), as_turns(scope, right)]
    if any(side.type == ERROR for side in sides):
        return bad(node.span)
    parts: list[Expression] = []
    for side in sides:
        parts += side.parts if isinstance(side, Join) else [side]
    return Join(THREAD, node.span, tuple(parts))


def _report_operands(scope: Scope, node: nodes.Binary, left: Expression, right: Expression) -> None:
    message = f"'{node.operator}' does not take {described(left)} and {described(right)}"
    help = _operand_help(node.operator, left.type, right.type)
    notes = (Note(f"this is {described(left)}", left.span), Note(f"this is {described(right)}", right.span))
    scope.unit.report.add("E0402", message, node.mark, help, *notes)


def _operand_help(operator: str, left: Type, right: Type) -> str | None:
    if operator == "??":
        return "'??' gives a default for what may be none, and this never is"
    if operator in ("==", "!="):
        return f"{left} never equals {right}"
    for given, other in ((left, right), (right, left)):
        if isinstance(given, ProbType):
            return conversion(given, other if operator != "+" else FLOAT) or "ask for '.p(outcome)'"
        if isinstance(given, OptionalType) and binary_type(operator, given.inner, other) is not None:
            return conversion(given, given.inner)
        if given == STR and operator == "+" and is_data(other):
            return 'put it into a string, as in "{…}"'
    if BOOL in (left, right) and operator in ("<", ">", "<=", ">="):
        return "comparisons do not chain: write 'a < b and b < c'"
    return None


def _is_test(scope: Scope, node: nodes.IsTest) -> Expression:
    operand = value(scope, node.operand)
    if isinstance(node.tested, nodes.NamedType) and node.tested.name.qualifier is None:
        enum = _enum_with(operand.type, node.tested.name.name.text)
        if enum is not None and scope.unit.find(node.tested.name.name.text) is None:
            return _report_member_test(scope, node, operand)
    tested = resolve(scope.unit, node.tested)
    if ERROR in (operand.type, tested):
        return bad(node.span)
    parts = alternatives(operand.type)
    inside = [assignable(part, tested) or assignable(tested, part) for part in parts]
    if not any(inside):
        always = "always" if node.negated else "never"
        message = f"this is {always} so: {operand.type} is never {tested}"
        scope.unit.report.add("E0405", message, node.span, _declared_at(operand))
    elif all(assignable(part, tested) for part in parts):
        always = "never" if node.negated else "always"
        message = f"this is {always} so: {operand.type} is always {tested}"
        scope.unit.report.add("E0405", message, node.span, _declared_at(operand))
    return IsTest(BOOL, node.span, operand, tested, node.negated)


def _report_member_test(scope: Scope, node: nodes.IsTest, operand: Expression) -> Expression:
    member = node.tested.span.text
    help = f"compare values with '{'!=' if node.negated else '=='} {member}'; 'is' tests a type"
    scope.unit.report.add("E0305", f"'{member}' is a member of {operand.type}, not a type", node.tested.span, help)
    return bad(node.span)


def _declared_at(operand: Expression) -> str | None:
    return None if isinstance(operand.type, RecordType) else "leave the test out"
