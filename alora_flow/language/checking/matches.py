"""The arms of a match: what each pattern means, which cases it covers, whether one is missed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from alora_flow.frozen import dataclass
from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.fit import conversion, described, shown
from alora_flow.language.checking.types import TYPE_NAMES, find_symbol, is_silent, resolve, written
from alora_flow.language.meaning.operators import never, overlapping
from alora_flow.language.meaning.program import (
    EnumMember,
    Expression,
    Literal,
    Pattern,
    Text,
    TypePattern,
    ValuePattern,
)
from alora_flow.language.meaning.relations import assignable, may_be, union
from alora_flow.language.meaning.types import BOOL, ERROR, BoolType, EnumType, NoneType, Type, alternatives
from alora_flow.language.report.diagnostics import did_you_mean, one_of
from alora_flow.language.report.source import Span
from alora_flow.language.syntax import nodes

WILDCARDS = ("_", "default", "otherwise", "other")
"""How other languages name the rest, where no case is named so."""


@dataclass(frozen=True)
class MatchCase:
    """An arm's patterns, and the type that the subject has in it."""

    patterns: tuple[Pattern, ...]
    type: Type


@dataclass(frozen=True)
class _Part:
    """One of the finitely many cases: a member of an enum, `true`, or a whole type (`value` is None)."""

    type: Type
    value: Any = None

    def __str__(self) -> str:
        return str(self.type) if self.value is None else str(self.value).lower() if self.type == BOOL else self.value


def match_arms(checker: Checker, node: nodes.Match | nodes.MatchValue, subject: Expression) -> list[MatchCase]:
    """A case for each arm; reports what they miss together."""
    left = dict.fromkeys(_parts(subject.type))
    seen: set[Any] = set()
    cases = []
    open_end = False
    for arm in node.arms:
        empty = not left
        if not arm.patterns:
            _report_unreached(checker, arm, subject, open_end or empty)
            open_end = True
            cases.append(MatchCase((), union(part.type for part in left) if left else subject.type))
            left.clear()
            continue
        patterns = []
        open_end = open_end or _is_wildcard(arm)
        for item in arm.patterns:
            for pattern in _patterns(checker, item, subject.type):
                patterns.append(pattern)
                _take(checker, left, pattern, seen, subject.type)
        _report_unreached(checker, arm, subject, len(patterns) >= len(arm.patterns) and (open_end or empty))
        cases.append(MatchCase(tuple(patterns), _type(patterns, subject.type)))
    if left and subject.type != ERROR and not open_end and not checker.unit.gaps_in(node.span):
        _report_missing(checker, node, left)
    return cases


def _is_wildcard(arm: nodes.Arm | nodes.ValueArm) -> bool:
    """`_ =>`, `default =>`: reported as a name, and meant for the rest."""
    return any(pattern.span.text in WILDCARDS for pattern in arm.patterns)


def _report_unreached(checker: Checker, arm: nodes.Arm | nodes.ValueArm, subject: Expression, unreached: bool) -> None:
    if unreached and subject.type != ERROR:
        checker.report.add("E0603", "this arm is never reached: those before it take everything", arm.span)


def _parts(type: Type) -> list[_Part]:
    found: list[_Part] = []
    for part in alternatives(type):
        if isinstance(part, EnumType):
            found += [_Part(part, member) for member in part.members]
        elif isinstance(part, BoolType):
            found += [_Part(part, True), _Part(part, False)]
        else:
            found.append(_Part(part))
    return found


def _patterns(checker: Checker, node: nodes.TypePattern | nodes.ValuePattern, subject: Type) -> list[Pattern]:
    """One, none where it is wrong; of `input | output`, as other languages write several, each."""
    union = node.type if isinstance(node, nodes.TypePattern) else None
    parts = union.members if isinstance(union, nodes.UnionTypeNode) else ()
    names = [part.name for part in parts if isinstance(part, nodes.NamedType)]
    members = [member for name in names if (member := _member(name, name.span, subject))]
    if members:
        help = f"write '{', '.join(member.span.text for member in members)}'"
        checker.report.add("E0304", "'|' joins types, and these are members", node.span, help)
        return [ValuePattern(member) for member in members]
    pattern = _pattern(checker, node, subject)
    return [] if pattern is None else [pattern]


def _pattern(checker: Checker, node: nodes.TypePattern | nodes.ValuePattern, subject: Type) -> Pattern | None:
    if isinstance(node, nodes.ValuePattern):
        return _value_pattern(checker, node, subject)
    if isinstance(node.type, nodes.NamedType):
        member = _member(node.type.name, node.span, subject)
        if member is not None:
            return ValuePattern(member)
        if _is_unknown(checker, node.type.name):
            _report_unknown(checker, node.type.name, subject)
            return None
    type = resolve(checker.unit, node.type)
    if type == ERROR or subject == ERROR:
        return None
    if not any(may_be(part, type) for part in alternatives(subject)):
        checker.report.add("E0405", f"{shown(subject)} is never {type}", node.span)
        return None
    return TypePattern(type, node.span)


def _member(name: nodes.Qualified, span: Span, subject: Type) -> EnumMember | None:
    """`input`, `Stage.input` of the subject's enum."""
    for part in alternatives(subject):
        fits = isinstance(part, EnumType) and (name.qualifier is None or name.qualifier.text == part.name)
        if isinstance(part, EnumType) and fits and name.name.text in part.members:
            return EnumMember(part, span, name.name.text)
    return None


def _is_unknown(checker: Checker, name: nodes.Qualified) -> bool:
    known = written(name) in TYPE_NAMES or find_symbol(checker.unit, name) is not None
    return not known and not is_silent(checker.unit, name)


def _report_unknown(checker: Checker, name: nodes.Qualified, subject: Type) -> None:
    enums = [part for part in alternatives(subject) if isinstance(part, EnumType)]
    members = [member for enum in enums for member in enum.members]
    known = [*members, *(str(part) for part in alternatives(subject) if not isinstance(part, EnumType))]
    help = did_you_mean(written(name), known) or f"{shown(subject)} can be {one_of(known)}"
    if written(name) in WILDCARDS:
        help = "what is left is written 'else => { … }'"
    if subject != ERROR:
        code = "E0304" if len(enums) == len(alternatives(subject)) else "E0301"
        checker.report.add(code, f"'{written(name)}' is no case of {shown(subject)}", name.span, help)


def _value_pattern(checker: Checker, node: nodes.ValuePattern, subject: Type) -> Pattern | None:
    found = checker.value(node.value, subject)
    if isinstance(found, Text) and found.constant is None:
        checker.report.add("E0208", "a pattern must be a constant: it has a hole", node.span)
        return None
    if ERROR in (found.type, subject):
        return None
    parts = alternatives(subject)
    if not any(overlapping(found.type, part) and not never("==", found.type, part) for part in parts):
        help = next((conversion(found.type, part) for part in parts if isinstance(part, EnumType)), None)
        name = subject if overlapping(found.type, subject) else shown(subject)  # its range is why
        checker.report.add("E0401", f"{name} is never {described(found)}", node.span, help)
        return None
    return ValuePattern(found)


def _take(checker: Checker, left: dict[_Part, None], pattern: Pattern, seen: set[Any], subject: Type) -> None:
    """Leaves the cases that remain after this pattern; one that takes none is reported."""
    some = bool(left)
    if isinstance(pattern, TypePattern):
        gone = [part for part in left if assignable(part.type, pattern.type)]
        taken = bool(gone) or any(assignable(pattern.type, part.type) for part in left)
        for part in gone:
            del left[part]
    else:
        constant = _constant(pattern.value)
        finite = isinstance(pattern.value.type, (EnumType, BoolType))
        one = _Part(pattern.value.type, constant)
        taken = one in left if finite else constant not in seen and some
        left.pop(one, None)
        seen.add(constant)
    if not taken and left and subject != ERROR:
        span = pattern.span if isinstance(pattern, TypePattern) else pattern.value.span
        checker.report.add("E0603", "this case was taken before", span)


def _constant(found: Expression) -> Any:
    if isinstance(found, EnumMember):
        return found.member
    return found.value if isinstance(found, Literal) else found.constant if isinstance(found, Text) else None


def _type(patterns: list[Pattern], subject: Type) -> Type:
    """What the subject is in an arm: one of the patterns' types."""
    types = [pattern.type if isinstance(pattern, TypePattern) else pattern.value.type for pattern in patterns]
    if ERROR in (subject, *types) or not types:
        return ERROR
    parts = [part for part in alternatives(subject) if any(assignable(part, type) for type in types)]
    narrower = [type for type in types if not any(assignable(part, type) for part in alternatives(subject))]
    return union([*parts, *(_widest(type, subject) for type in narrower)])


def _widest(type: Type, subject: Type) -> Type:
    return next((part for part in alternatives(subject) if assignable(type, part)), type)


def _report_missing(checker: Checker, node: nodes.Match | nodes.MatchValue, left: Iterable[_Part]) -> None:
    head = Span(node.span.source, node.span.start, node.span.start + len("match"))
    missed = ["none" if isinstance(part.type, NoneType) else str(part) for part in left]
    help = f"add an arm for {'it' if len(missed) == 1 else 'each'}, or 'else => {{ … }}'"
    checker.report.add("E0602", f"this match misses {one_of(missed, 'and')}", head, help)
