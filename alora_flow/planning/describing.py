"""Names for values that are not known yet: a hole's identity, and what people read in a plan."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from alora_flow.language.meaning import program as p
from alora_flow.language.meaning.program import Expression
from alora_flow.planning.graph.nodes import NodeValue


def describe(expression: Expression) -> str:
    """A short name for a value that is not known yet; equal for equal expressions, different for different ones."""
    match expression:
        case NodeValue(node=node):
            return node
        case p.Literal(value=value):
            return json.dumps(value)  # `true` and `none` are no names, so no node is called so
        case p.EnumMember(member=member):
            return f"{expression.type}.{member}"
        case p.Text(parts=parts):
            return f'"{"".join(map(_described_part, parts))}"'
        case p.ListValue(items=items):
            return f"[{', '.join(map(describe, items))}]"
        case p.RecordValue(fields=given) | p.MapValue(entries=given):
            inner = ", ".join(f"{name}: {describe(value)}" for name, value in given)
            return f"{expression.type if isinstance(expression, p.RecordValue) else 'map'}({inner})"
        case p.DocumentValue(text=text, title=title):
            titled = "" if title == p.Text(title.type, title.span, ()) else f", title: {describe(title)}"
            return f"document({describe(text)}{titled})"
        case p.FieldAccess(target=target, name=name):
            return f"{describe(target)}.{name}"
        case p.Index(target=target, index=index):
            return f"{describe(target)}[{describe(index)}]"
        case p.Slice(target=target, start=start, stop=stop):
            ends = ":".join("" if end is None else describe(end) for end in (start, stop))
            return f"{describe(target)}[{ends}]"
        case p.Builtin(function=function, arguments=arguments):
            return f"{function}({', '.join(map(describe, arguments))})"
        case p.Binary(operator=operator, left=left, right=right):
            return f"({describe(left)} {operator} {describe(right)})"
        case p.Unary(operator=operator, operand=operand):
            return f"({operator} {describe(operand)})"
        case p.IsTest(operand=operand, tested=tested, negated=negated):
            return f"({describe(operand)} is {'not ' * negated}{tested})"
    return _fields(expression)


def _described_part(part: str | p.StringHole) -> str:
    """What is written in a text, as its source has it."""
    if isinstance(part, p.StringHole):
        return f"{{{describe(part.value)}}}"
    return json.dumps(part, ensure_ascii=False)[1:-1].replace("{", "\\{").replace("}", "\\}")


def _fields(part: Any) -> str:
    """All that it says, but for where it stands and of which type it is."""
    inner = (_described(getattr(part, item.name)) for item in fields(part) if item.name not in ("span", "type"))
    return f"{type(part).__name__.lower()}({', '.join(inner)})"


def _described(part: object) -> str:
    match part:
        case Expression():
            return describe(part)
        case tuple():
            return f"[{', '.join(map(_described, part))}]"
        case p.Binding(name=name):
            return name
        case p.TypePattern(type=tested):
            return str(tested)
        case p.ValueArm() | p.ValuePattern():
            return _fields(part)
    return str(part)
