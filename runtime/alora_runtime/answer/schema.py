"""JSON schemas in which every number ends: a weak model would write digits for ever. Integers and floats only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from math import ceil, inf, isfinite, log10
from typing import Any

from alora_runtime.errors import ConstraintError

MOST = 10**18
"""Numbers lie between this and its negative: llguidance counts in 64 bits."""

LEAST_DECIMALS, DECIMALS, MOST_DECIMALS = 2, 6, 10
"""Digits after the point: of a wide range, of a number without a range, and the most that llguidance takes."""

FINE = 4
"""A narrow range has 10 ** FINE steps at least."""

MAPS, LISTS = ("properties", "patternProperties", "$defs", "definitions"), ("anyOf", "oneOf", "allOf", "prefixItems")
ONES = ("items", "additionalProperties")
"""Keywords under which there are further schemas: by name, in a list, or one."""


def bounded(text: str) -> Any:
    """A schema from JSON, with a range for every number, and a limit to its digits after the point.

    Raises ConstraintError where it is not JSON, or a range is none or too narrow to be written in MOST_DECIMALS digits.
    """
    try:
        return _bounded(json.loads(text))
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ConstraintError(f"the json_schema constraint does not compile: {error}") from None


def with_digits(schema: Any, digits: int) -> Any:
    """A schema whose numbers have so many digits after the point at most; at least one value must fit in each range."""
    step = float(Decimal(1).scaleb(-digits))
    return _numbers(schema, lambda kind, number: {**number, "multipleOf": step} if kind == "number" else number)


def _bounded(schema: Any) -> Any:
    return _numbers(schema, lambda kind, number: _NUMBERS[kind](number))


def _numbers(schema: Any, change: Callable[[Any, dict[str, Any]], dict[str, Any]]) -> Any:
    """A schema with a change to the schema of every number in it."""
    if not isinstance(schema, dict):
        return schema
    kinds = schema.get("type")
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind in _NUMBERS and not schema.keys() & {"const", "enum"}:
            schema = change(kind, schema)
    maps = {key: {name: _numbers(part, change) for name, part in schema[key].items()} for key in MAPS if key in schema}
    lists = {key: [_numbers(part, change) for part in schema[key]] for key in LISTS if key in schema}
    ones = {key: _numbers(schema[key], change) for key in ONES if key in schema}
    return {**schema, **maps, **lists, **ones}


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    ranged = dict(schema)
    for name, exclusive, limit in (("minimum", "exclusiveMinimum", -MOST), ("maximum", "exclusiveMaximum", MOST)):
        if exclusive not in schema:
            ranged[name] = min(max(schema.get(name, limit), -MOST), MOST)
    if schema.get("minimum", -MOST) > MOST or schema.get("maximum", MOST) < -MOST:
        raise ConstraintError("a range lies wholly beyond 10^18, and numbers can be written up to that")
    return ranged


def _real(schema: dict[str, Any]) -> dict[str, Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and low == high and schema["type"] == "number":
        return {"const": low}
    step = schema.get("multipleOf") or float(Decimal(1).scaleb(-decimals(low, high)))
    return {"multipleOf": step, **_whole(schema)}


_NUMBERS: Mapping[object, Callable[[dict[str, Any]], dict[str, Any]]] = {"integer": _whole, "number": _real}


def decimals(low: float | None, high: float | None) -> int:
    """How many digits after the point a number between these bounds has at most."""
    if low is None or high is None:
        return DECIMALS
    steps = FINE - ceil(log10(high - low)) if high > low else 0
    if steps > MOST_DECIMALS + FINE - 1:
        raise ConstraintError(
            f"the range {low} to {high} is too narrow: numbers have {MOST_DECIMALS} digits after the point at most. "
            "Ask for them in another unit"
        )
    return min(max(LEAST_DECIMALS, steps, _written(low), _written(high)), MOST_DECIMALS)


def _written(bound: float) -> int:
    """Digits after the point."""
    exponent = Decimal(str(bound)).as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def most_bytes(text: str) -> float:
    """The length of the longest text under a schema, once it is bounded; inf where there is none: strings and lists
    have no end of their own. Raises ConstraintError as `bounded`."""
    schema = bounded(text)
    return _most(schema, schema, ())


def _most(schema: Any, root: Mapping[str, Any], within: tuple[str, ...]) -> float:
    """`within`: the references that led here."""
    if not isinstance(schema, dict):
        return inf
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return max(_most(part, root, within) for part in schema[key])
    if "$ref" in schema:
        name = str(schema["$ref"])
        return inf if name in within else _most(_found(root, name), root, (*within, name))
    if "const" in schema or "enum" in schema:
        return max(map(_length, schema.get("enum", [schema.get("const")])))
    return _longest(schema, root, within)


def _longest(schema: Mapping[str, Any], root: Mapping[str, Any], within: tuple[str, ...]) -> float:
    match schema.get("type"):
        case "null" | "boolean":
            return len("false")
        case "integer" | "number" as kind:
            digits = _written(schema["multipleOf"]) if kind == "number" else 0
            bounds = (schema.get("minimum", -MOST), schema.get("maximum", MOST))
            return max(len(f"{bound:.{digits}f}") for bound in bounds)
        case "object" if schema.get("additionalProperties") is False and "patternProperties" not in schema:
            parts = schema.get("properties", {}).items()
            return len("{}") + sum(len(json.dumps(name) + ": , ") + _most(part, root, within) for name, part in parts)
    return inf


def _length(value: Any) -> int:
    """Of a value as JSON, where a number may stand without an exponent."""
    number = isinstance(value, float) and isfinite(value)
    return max(len(json.dumps(value)), len(format(Decimal(str(value)), "f")) if number else 0)


def _found(root: Mapping[str, Any], reference: str) -> Any:
    """What a reference like `#/$defs/Name` names; None where it leads nowhere."""
    place: Any = root
    for step in reference.removeprefix("#/").split("/"):
        place = place.get(step) if isinstance(place, dict) else None
    return place
