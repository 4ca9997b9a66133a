"""Types as text and back, exactly: enums and records by their keys in a program, replies with what they may invoke."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Program
from alora_flow.language.meaning.types import Type

PLAIN: dict[str, Type] = {
    str(type): type for type in (t.STR, t.BOOL, t.DURATION, t.NONE, t.NEVER, t.DOCUMENT, t.CHAT, t.THREAD, t.REPLY)
}
TOKEN = re.compile(r"\s*([\w.+-]+\.\.[\w.+-]*|\.\.[\w.+-]*|[^\W\d][\w.]*|\W)")
OF: dict[str, Callable[[Type], Type]] = {
    "list": t.ListType,
    "map": t.MapType,
    "prob": t.ProbType,
    "numbered": t.NumberedType,
    "reply": t.ReplyType,
    "invocation": t.InvocationType,
}
T = TypeVar("T")
N = TypeVar("N", int, float)


class TypeNames:
    """The names of a program's enums and records."""

    def __init__(self, program: Program) -> None:
        self._types: dict[str, Type] = {key: enum.type for key, enum in program.enums.items()}
        self._types |= {key: record.type for key, record in program.records.items()}
        self._keys = {type: key for key, type in self._types.items()}

    def show(self, type: Type) -> str:
        """A type as `read` takes it."""
        match type:
            case t.EnumType() | t.RecordType():
                return self._keys[type]
            case t.ListType(element):
                return f"list[{self.show(element)}]"
            case t.MapType(value):
                return f"map[{self.show(value)}]"
            case t.NumberedType(value):
                return f"numbered[{self.show(value)}]"
            case t.PairType(first, second):
                return f"pair[{self.show(first)}, {self.show(second)}]"
            case t.ProbType(of):
                return f"prob[{self.show(of)}]"
            case t.ReplyType(value) | t.InvocationType(value) if type != t.REPLY:
                return f"{type}[{self.show(value)}]"
            case t.OptionalType(inner):
                shown = self.show(inner)
                return f"({shown})?" if isinstance(inner, t.UnionType) else f"{shown}?"
            case t.UnionType(members):
                return " | ".join(map(self.show, members))
        return str(type)

    def read(self, text: str) -> Type:
        """The type of a text. Raises ValueError where it means none."""
        tokens = [*TOKEN.findall(text.strip()), ""][::-1]
        found = self._union(tokens)
        if tokens != [""]:
            raise ValueError(f"'{text}' does not end after {found}")
        return found

    def _union(self, tokens: list[str]) -> Type:
        members = [self._member(tokens)]
        while tokens[-1] == "|":
            tokens.pop()
            members.append(self._member(tokens))
        return members[0] if len(members) == 1 else t.UnionType(tuple(members))

    def _member(self, tokens: list[str]) -> Type:
        name = tokens.pop()
        if name == "(":
            found = self._union(tokens)
            _take(tokens, ")")
        else:
            found = self._named(name, tokens)
        while tokens[-1] == "?":
            tokens.pop()
            found = t.OptionalType(found)
        return found

    def _pair(self, tokens: list[str]) -> tuple[Type, Type]:
        first = self._union(tokens)
        _take(tokens, ",")
        return first, self._union(tokens)

    def _named(self, name: str, tokens: list[str]) -> Type:
        if name == "int":
            return t.IntType(*_bracketed(tokens, partial(_range, tokens, int)) or ())
        if name == "float":
            return t.FloatType(*_bracketed(tokens, partial(_range, tokens, float)) or ())
        if name == "pair":
            return t.PairType(*_bracketed(tokens, partial(self._pair, tokens)) or (t.NEVER, t.NEVER))
        of = _bracketed(tokens, partial(self._union, tokens))
        if of is not None and name in OF:
            return OF[name](of)
        if name not in PLAIN and name not in self._types:
            raise ValueError(f"there is no type '{name}'")
        return PLAIN.get(name) or self._types[name]


def _bracketed(tokens: list[str], read: Callable[[], T]) -> T | None:
    if tokens[-1] != "[":
        return None
    tokens.pop()
    inner = read()
    _take(tokens, "]")
    return inner


def _range(tokens: list[str], number: Callable[[str], N]) -> tuple[N | None, N | None]:
    low, dots, high = tokens.pop().partition("..")
    if not dots:
        raise ValueError(f"'{low}' is not a range")
    return number(low) if low else None, number(high) if high else None


def _take(tokens: list[str], wanted: str) -> None:
    if tokens.pop() != wanted:
        raise ValueError(f"a '{wanted}' is missing")
