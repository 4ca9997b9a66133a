"""The declaration of a library's intrinsic, as a flow file would write it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from alora_flow.intrinsics.io_yaml import IoYaml
from alora_flow.intrinsics.shapes import Shape
from alora_flow.language.meaning import types as t
from alora_flow.language.syntax.strings import encode
from alora_flow.language.syntax.words import RESERVED


class _Nameless(Exception):
    """A field that no record can have."""


def declaration(name: str, reference: str, io_yaml: IoYaml) -> str | None:
    """`intrinsic certainty() -> float[0.05..0.95] from "certainty"`, with the records and enums that it needs; None
    where it gives a field that no record of a flow can have. `reference`: by what a flow file finds it."""
    types = _Types(_identifier(name))
    try:
        result = types.written(io_yaml.shape, "")
    except _Nameless:
        return None
    parameters = ", ".join(f"{argument}: str" for argument in io_yaml.arguments)
    line = f'intrinsic {types.name}({parameters}) -> {result} from "{encode(reference)}"'
    return "\n".join([*types.declared, line])


class _Types:
    """Types as text. What has no name is declared under one of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.declared: list[str] = []
        self._names: dict[t.Type, str] = {}

    def written(self, shape: Shape, field: str) -> str:
        """`field`: where it stands, for its name."""
        match shape:
            case None | t.NeverType():
                return "str"
            case t.RecordType(name="", fields=(only,)):
                return self.written(only.type, field or only.name)
            case t.RecordType(name="", fields=fields):
                return self._named(shape, field, self._record(fields, field))
            case t.EnumType(name="", members=members):
                listed = ", ".join(map(_member, members))
                return self._named(shape, field, {"enum": f"{{ {listed} }}"})
            case t.ListType(element):
                return f"list[{self.written(element, field)}]"
            case t.OptionalType(inner):
                return f"{self.written(inner, field)}?"
            case t.UnionType(members):
                return " | ".join(self.written(member, f"{field}_{index}") for index, member in enumerate(members))
        return str(shape)

    def _record(self, fields: tuple[t.Field, ...], field: str) -> Mapping[str, str]:
        parts = []
        for each in fields:
            if not each.name.isidentifier():
                raise _Nameless(each.name)
            kind = self.written(each.type, each.name)
            parts.append(f"{each.name}: {kind}" if each.required else f"{each.name}: {kind.removesuffix('?')}? = none")
        return {"record": f"{{ {', '.join(parts)} }}"}

    def _named(self, shape: t.Type, field: str, made: Mapping[str, str]) -> str:
        if shape not in self._names:
            words = re.split(r"_+", f"{self.name}_{field}" if field else self.name)
            self._names[shape] = "".join(word.capitalize() for word in words)
            self.declared += [f"{kind} {self._names[shape]} {body}" for kind, body in made.items()]
        return self._names[shape]


def _member(text: str) -> str:
    name = _identifier(text)
    return name if name == text else f'{name} = "{encode(text)}"'


def _identifier(text: str) -> str:
    """A name that a flow file takes."""
    made = re.sub(r"\W+", "_", text).strip("_") or "value"
    return f"{made}_" if made in RESERVED else made if not made[0].isdigit() else f"n{made}"
