"""What an adapter's answer looks like: a JSON Schema as a flow type, and which declared types such an answer fits.

A shape is a flow type; `None` stands for JSON of which nothing is known before it is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote

from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.relations import assignable, union
from alora_flow.values.data import Distribution

Shape: TypeAlias = t.Type | None


class BadSchema(Exception):
    """A schema is no JSON Schema, or contradicts itself; the text says where."""


MOST = 10**18
"""Numbers of an answer lie between this and its negative."""

SIMPLE: Mapping[object, Shape] = {"string": t.STR, "boolean": t.BOOL, "null": t.NONE}


def shape_of(schema: Any) -> Shape:
    """The shape of what a schema allows. Raises BadSchema."""
    return _Reader(schema).read(schema, ())


class _Reader:
    def __init__(self, root: Any) -> None:
        self._root = root

    def read(self, schema: Any, within: tuple[str, ...]) -> Shape:
        """`within`: the references that led here; what holds itself is not known before it is there."""
        if isinstance(schema, bool):
            return None
        if not isinstance(schema, dict):
            raise BadSchema(f"{schema!r} stands where a schema must")
        if _joins(schema):
            return None
        if "$ref" in schema:
            name = str(schema["$ref"])
            return None if name in within else self.read(self._found(name), (*within, name))
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._union(self._listed(schema, key), within)
        if "const" in schema or "enum" in schema:
            options = self._listed(schema, "enum") if "enum" in schema else [schema["const"]]
            return _enumeration(options, schema.get("type"))
        kind = schema.get("type", "object" if "properties" in schema else None)
        if isinstance(kind, list):
            return self._union([{**schema, "type": each} for each in kind], within)
        match kind:
            case "object":
                return self._record(schema, within)
            case "array":
                return self._list(schema, within)
            case "integer":
                return t.IntType(*_range(schema))
            case "number":
                return t.FloatType(*map(t.as_float, _range(schema)))
            case None:
                return None
        if not isinstance(kind, str) or kind not in SIMPLE:
            raise BadSchema(f"there is no type {kind!r}")
        return SIMPLE[kind]

    def _union(self, schemas: list[Any], within: tuple[str, ...]) -> Shape:
        members = [self.read(schema, within) for schema in schemas]
        return None if None in members else union(member for member in members if member is not None)

    def _record(self, schema: Mapping[str, Any], within: tuple[str, ...]) -> Shape:
        if "properties" not in schema:
            return None
        properties = schema["properties"]
        if not isinstance(properties, dict):
            raise BadSchema("'properties' must be an object")
        required = self._listed(schema, "required") if "required" in schema else []
        for name in required:
            if name not in properties:
                raise BadSchema(f"{name!r} is required, and there is no such property")
        fields = {name: self.read(part, within) for name, part in properties.items()}
        return record({name: (shape, name in required) for name, shape in fields.items()})

    def _list(self, schema: Mapping[str, Any], within: tuple[str, ...]) -> Shape:
        element = self.read(schema.get("items", True), within)
        return t.ListType(UNKNOWN if element is None else element)

    def _listed(self, schema: Mapping[str, Any], key: str) -> list[Any]:
        if not isinstance(schema[key], list) or (not schema[key] and key != "required"):
            raise BadSchema(f"{key!r} must be a list that holds something")
        return list(schema[key])

    def _found(self, reference: str) -> Any:
        """A JSON pointer: `#` is the whole schema, `~1` is "/", `~0` is "~"."""
        place = self._root
        for step in unquote(reference).removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            here = {str(at): part for at, part in enumerate(place)} if isinstance(place, list) else place
            if not isinstance(here, dict) or name not in here:
                raise BadSchema(f"the reference {reference!r} leads nowhere")
            place = here[name]
        return place


UNKNOWN = t.NEVER
"""Inside a list or a record: a part of which nothing is known."""


def record(fields: Mapping[str, tuple[Shape, bool]]) -> t.RecordType:
    """A record without a name, from its fields' shapes and whether they are always there."""
    known = ((name, UNKNOWN if shape is None else shape, there) for name, (shape, there) in fields.items())
    return t.RecordType("", tuple(t.Field(*field) for field in known))


def _enumeration(options: list[Any], kind: object) -> Shape:
    odd = next((option for option in options if kind == "string" and not isinstance(option, str)), None)
    if odd is not None:
        raise BadSchema(f"'enum' of strings holds {odd!r}, which is none: quote it")
    if all(isinstance(option, str) for option in options):
        return t.EnumType("", tuple(dict.fromkeys(options)))
    if all(isinstance(option, bool) for option in options):
        return t.BOOL
    if all(isinstance(option, int) and not isinstance(option, bool) for option in options):
        return t.IntType(min(options), max(options))
    return None


def _range(schema: Mapping[str, Any]) -> tuple[Any, Any]:
    for name in ("exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
        _bound(schema, name)
    return _bound(schema, "minimum"), _bound(schema, "maximum")


def _bound(schema: Mapping[str, Any], name: str) -> Any:
    value = schema.get(name)
    whole = schema.get("type") == "integer"
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -MOST <= value <= MOST:
        raise BadSchema(f"{name!r} must be a number within ±{MOST}, not {str(value)[:40]}")
    if whole and value != int(value):
        raise BadSchema(f"{name!r} of an integer must be a whole number, not {value}")
    return int(value) if whole else value


NAMED, OPEN = ("properties", "patternProperties", "$defs", "definitions"), ("allOf", "anyOf", "oneOf", "$ref")
"""Keywords under which schemas stand by name, and those that may name further properties of the same object."""

PLAIN = ("enum", "const", "default", "examples", "required")
"""Keywords that hold no schemas."""


def closed(schema: Any) -> Any:
    """The same, where an object that names its properties has no others unless the schema says so: else a weak model
    would write further ones for ever. Where one object is put together of several schemas, none of them is closed."""
    return schema if any(map(_joins, _schemas(schema))) else _closed(schema)


def _joins(schema: Mapping[str, Any]) -> bool:
    """Does one object have to fit several schemas that name properties?"""
    parts = schema.get("allOf")
    return ("properties" in schema and bool(set(OPEN) & set(schema))) or (isinstance(parts, list) and len(parts) > 1)


def _schemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    """All that may be one, in any order."""
    if isinstance(schema, dict):
        yield schema
        schema = list(schema.values())
    for part in schema if isinstance(schema, list) else ():
        yield from _schemas(part)


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: _closed_part(key, part) for key, part in schema.items()}
    named = isinstance(schema.get("properties"), dict) and schema.get("type", "object") == "object"
    return {"type": "object", "additionalProperties": False, **parts} if named else parts


def _closed_part(key: str, part: Any) -> Any:
    if key in NAMED and isinstance(part, dict):
        return {name: _closed(inner) for name, inner in part.items()}
    return part if key in PLAIN else _closed(part)


# ------------------------------------------------------------------- what it fits


def shown(shape: Shape) -> str:
    """A shape for people: `{score: "yes" | "no"}`."""
    match shape:
        case None | t.NeverType():
            return "any JSON"
        case t.RecordType(name="", fields=fields):
            parts = (f"{field.name}{'' if field.required else '?'}: {shown(field.type)}" for field in fields)
            return f"{{{', '.join(parts)}}}"
        case t.EnumType(name="", members=members):
            return " | ".join(f'"{member}"' for member in members)
        case t.ListType(element):
            return f"list[{shown(element)}]"
        case t.OptionalType(inner):
            return f"({shown(inner)})?"
        case t.UnionType(members):
            return " | ".join(map(shown, members))
    return str(shape)


def misfit(shape: Shape, declared: t.Type) -> str | None:
    """Why an answer of this shape is no value of the declared type; None where it is one, or may be.

    One that is a record of one field may stand for that field, and a number from 0 to 1 for `prob[bool]`, or for a bool
    (true from 0.5 on).
    """
    if shape is None or shape == t.NEVER:
        return None
    if isinstance(shape, t.UnionType | t.OptionalType):
        return next(filter(None, (misfit(part, declared) for part in t.alternatives(shape))), None)
    if isinstance(declared, t.UnionType | t.OptionalType):
        found = [misfit(shape, member) for member in t.alternatives(declared)]
        return None if None in found else found[0]
    if isinstance(declared, t.RecordType):
        return _record_misfit(shape, declared)
    if isinstance(shape, t.RecordType):
        return misfit(shape.fields[0].type, declared) if len(shape.fields) == 1 else _unlike(shape, declared)
    if isinstance(declared, t.ListType) and isinstance(shape, t.ListType):
        return misfit(shape.element, declared.element)
    if isinstance(shape, t.EnumType):
        texts = declared.texts if isinstance(declared, t.EnumType) else shape.members
        missing = [text for text in shape.members if text not in texts]
        return f"{declared} has no {missing[0]!r}" if missing else _plain_misfit(t.STR, shape, declared)
    return _plain_misfit(shape, shape, declared)


def _plain_misfit(kind: t.Type, shape: t.Type, declared: t.Type) -> str | None:
    share = isinstance(kind, t.FloatType) and assignable(kind, t.UNIT_FLOAT)
    if share and declared in (t.BOOL, t.ProbType(t.BOOL)):
        return None
    if isinstance(shape, t.EnumType) and isinstance(declared, t.EnumType):
        return None
    return None if assignable(kind, declared) else _unlike(shape, declared)


def _unlike(shape: Shape, declared: t.Type) -> str:
    return f"{shown(shape)} is no {declared}"


def _record_misfit(shape: t.Type, declared: t.RecordType) -> str | None:
    if not isinstance(shape, t.RecordType):
        return _unlike(shape, declared)
    given = {field.name: field for field in shape.fields}
    for field in declared.fields:
        found = given.pop(field.name, None)
        if found is None or (not found.required and field.required):
            if field.required:
                return f"{field.name!r} of {declared} is not {'always ' if found else ''}there: {shown(shape)}"
        elif said := misfit(found.type, field.type):
            return f"{field.name!r}: {said}"
    return f"{declared} has no field {next(iter(given))!r}" if given else None


def fitted(value: Any, shape: Shape, declared: t.Type, threshold: float = 0.5) -> Any:
    """A JSON value of a shape as `misfit` lets it stand for a value of the declared type; what fits nowhere stays as it
    is. Objects and lists of which nothing is known are texts of JSON, where a text is declared; a number is true from
    `threshold` on."""
    if isinstance(shape, t.OptionalType):
        return None if value is None else fitted(value, shape.inner, declared, threshold)
    if isinstance(declared, t.UnionType | t.OptionalType):
        kinds = t.alternatives(declared)
        alone = [kind for kind in kinds if kind != t.NONE]
        return value if value is None or len(alone) > 1 else fitted(value, shape, alone[0], threshold)
    fields = {field.name: field.type for field in shape.fields} if isinstance(shape, t.RecordType) else {}
    if isinstance(declared, t.RecordType) and isinstance(value, dict):
        wanted = {field.name: field.type for field in declared.fields}
        return {
            name: fitted(part, fields.get(name), wanted.get(name, t.NEVER), threshold) for name, part in value.items()
        }
    if len(fields) == 1 and isinstance(value, dict) and value.keys() == fields.keys():
        ((name, part),) = value.items()
        return fitted(part, fields[name], declared, threshold)
    if isinstance(declared, t.ListType) and isinstance(value, list):
        element = shape.element if isinstance(shape, t.ListType) else None
        return [fitted(part, element, declared.element, threshold) for part in value]
    if isinstance(declared, t.StrType) and isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and declared == t.BOOL:
        return value >= threshold
    if number and declared == t.ProbType(t.BOOL):
        return Distribution((True, False), (float(value), 1.0 - float(value)))
    return value
