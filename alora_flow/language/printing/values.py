"""Types and expressions in their canonical spelling, on one line; brackets only where the meaning needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.strings import encode, encode_block

# how tightly each kind of expression holds together; 11 needs no brackets anywhere
BINARY_LEVELS = {
    "or": 1,
    "and": 2,
    "==": 4,
    "!=": 4,
    "<": 4,
    "<=": 4,
    ">": 4,
    ">=": 4,
    "in": 4,
    "not in": 4,
    "??": 5,
    "+": 6,
    "-": 6,
    "*": 7,
    "/": 7,
    "%": 7,
}
UNARY_LEVELS = {"not": 3, "-": 8}
COMPARISON, RUN, POSTFIX, PRIMARY = 4, 9, 10, 11


def level(node: nodes.Expression) -> int:
    match node:
        case nodes.Binary():
            return BINARY_LEVELS[node.operator]
        case nodes.Unary():
            return UNARY_LEVELS[node.operator]
        case nodes.IsTest():
            return COMPARISON
        case nodes.RunOn():
            return RUN
        case nodes.Access() | nodes.Index() | nodes.Slice() | nodes.CallNode():
            return POSTFIX
    return PRIMARY


def expression(node: nodes.Expression, least: int = 0, indent: str = "") -> str:
    """`node` where something of at least this level is wanted. Block strings put their lines after `indent`."""
    text = PRINTERS[type(node)](node, indent)
    return f"({text})" if level(node) < least else text


def type_text(node: nodes.TypeNode) -> str:
    match node:
        case nodes.NamedType():
            return qualified(node.name)
        case nodes.RangeType():
            low, high = (bound.raw if bound else "" for bound in (node.low, node.high))
            return f"{node.name.text}[{low}..{high}]"
        case nodes.GenericType():
            return f"{node.name.text}[{type_text(node.argument)}]"
        case nodes.NoneTypeNode():
            return "none"
        case nodes.OptionalTypeNode():
            inner = type_text(node.inner)
            return f"({inner})?" if isinstance(node.inner, nodes.UnionTypeNode) else f"{inner}?"
    return " | ".join(map(type_text, node.members))


def qualified(name: nodes.Qualified) -> str:
    return f"{name.qualifier.text}.{name.name.text}" if name.qualifier else name.name.text


def argument(node: nodes.Argument, indent: str = "") -> str:
    value = expression(node.value, indent=indent)
    return f"{node.name.text}: {value}" if node.name else value


def arguments(items: Iterable[nodes.Argument], indent: str = "") -> str:
    return f"({', '.join(argument(item, indent) for item in items)})"


def string(node: nodes.String, indent: str = "") -> str:
    spell = encode_block if node.block else encode
    parts = [spell(part) if isinstance(part, str) else f"{{{expression(part)}}}" for part in node.parts]
    if not node.block:
        return f'"{"".join(parts)}"'
    lines = "".join(parts).split("\n")
    inside = "\n".join(f"{indent}{line}" if line else "" for line in lines)
    return f'"""\n{inside}\n{indent}"""'


def _binary(node: nodes.Binary, indent: str) -> str:
    own = BINARY_LEVELS[node.operator]
    left, right = expression(node.left, own, indent), expression(node.right, own + 1, indent)
    return f"{left} {node.operator} {right}"


def _unary(node: nodes.Unary, indent: str) -> str:
    gap = " " if node.operator == "not" else ""
    return f"{node.operator}{gap}{expression(node.operand, UNARY_LEVELS[node.operator], indent)}"


def _is_test(node: nodes.IsTest, indent: str) -> str:
    negation = "not " if node.negated else ""
    return f"{expression(node.operand, COMPARISON, indent)} is {negation}{type_text(node.tested)}"


def _run(node: nodes.RunOn, indent: str) -> str:
    as_type = f" as {type_text(node.as_type)}" if node.as_type else ""
    thread = f" on {expression(node.thread, POSTFIX, indent)}" if node.thread else ""
    return f"{expression(node.call, POSTFIX, indent)}{as_type}{thread}"


def _slice(node: nodes.Slice, indent: str) -> str:
    start, stop = (expression(end) if end else "" for end in (node.start, node.stop))
    return f"{expression(node.target, POSTFIX, indent)}[{start}:{stop}]"


def _list(node: nodes.List, indent: str) -> str:
    return f"[{', '.join(expression(item, indent=indent) for item in node.items)}]"


def if_head(node: nodes.IfValue, indent: str = "") -> str:
    return f"if {expression(node.condition, indent=indent)}"


def _if_value(node: nodes.IfValue, indent: str) -> str:
    otherwise = expression(node.otherwise, indent=indent)
    last = otherwise if isinstance(node.otherwise, nodes.IfValue) else f"{{ {otherwise} }}"
    return f"{if_head(node, indent)} {{ {expression(node.then, indent=indent)} }} else {last}"


def pattern(node: nodes.TypePattern | nodes.ValuePattern) -> str:
    return type_text(node.type) if isinstance(node, nodes.TypePattern) else expression(node.value)


def arm_head(node: nodes.Arm | nodes.ValueArm) -> str:
    patterns = ", ".join(map(pattern, node.patterns)) or "else"
    return f"{patterns}{f' as {node.name.text}' if node.name else ''} =>"


def value_arm(node: nodes.ValueArm, indent: str = "") -> str:
    return f"{arm_head(node)} {{ {expression(node.value, indent=indent)} }}"


def _match_value(node: nodes.MatchValue, indent: str) -> str:
    arms = "".join(f" {value_arm(arm, indent)}" for arm in node.arms)
    return f"match {expression(node.subject, indent=indent)} {{{arms} }}"


PRINTERS: dict[type, Callable[[Any, str], str]] = {
    nodes.Name: lambda node, indent: node.text,
    nodes.Number: lambda node, indent: node.raw,
    nodes.Duration: lambda node, indent: node.raw,
    nodes.String: string,
    nodes.Boolean: lambda node, indent: "true" if node.value else "false",
    nodes.NoneValue: lambda node, indent: "none",
    nodes.List: _list,
    nodes.Access: lambda node, indent: f"{expression(node.target, POSTFIX, indent)}.{node.name.text}",
    nodes.Index: lambda node, indent: f"{expression(node.target, POSTFIX, indent)}[{expression(node.index)}]",
    nodes.Slice: _slice,
    nodes.CallNode: lambda node, indent: (
        f"{expression(node.callee, POSTFIX, indent)}{arguments(node.arguments, indent)}"
    ),
    nodes.RunOn: _run,
    nodes.Unary: _unary,
    nodes.Binary: _binary,
    nodes.IsTest: _is_test,
    nodes.IfValue: _if_value,
    nodes.MatchValue: _match_value,
}
