"""Pure expressions to values, before a run and in it.

Reading a node that has no value yet raises `NotKnown`: in a plan that becomes a hole, in a run it never happens.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from enum import Enum
from math import isfinite
from typing import Any

from alora_flow.errors import RunFailed
from alora_flow.language.meaning import program as p
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Expression
from alora_flow.planning.describing import describe
from alora_flow.planning.graph.nodes import NodeValue
from alora_flow.prompts.contents import Content, Hole, KnownText, Thread, Turn
from alora_flow.values.builtins import BUILTINS
from alora_flow.values.data import Distribution, Document, Reply, chat_of_thread, passages, thread_of_chat
from alora_flow.values.lengths import OF_TOKENS
from alora_flow.values.models import adapter, is_value_of, python_type, tagged
from alora_flow.values.names import field_of

Values = Mapping[str, Any]
"""Node id → value, for the nodes that have one."""


ITS_DISTRIBUTION = "it's distribution"
"""Beside "it" in the values of an intrinsic's `value`; no node has such an id."""


MODEL = "the model"
"""Beside the nodes' values: the Setup, for what is counted in the model's tokens."""


TOO_LARGE = "the result is too large for a float"


class NotKnown(Exception):
    """A node's value was read that is not known (yet)."""


def evaluate(expression: Expression, values: Values) -> Any:
    """The value of a pure expression. Raises NotKnown, and RunFailed where the program's own arithmetic fails."""
    try:
        return _RULES[type(expression)](expression, values)
    except (ArithmeticError, IndexError, ValueError) as error:
        said = TOO_LARGE if isinstance(error, OverflowError) else str(error).partition("\n")[0]
        failed = RunFailed(f"line {expression.span.line}, '{expression.span.text}': {said}")
        failed.places = (expression.span,)
        raise failed from error


def _node(expression: NodeValue, values: Values) -> Any:
    if expression.node not in values:
        raise NotKnown(expression.node)
    return values[expression.node]


def _text(expression: p.Text, values: Values) -> str:
    return "".join(part if isinstance(part, str) else _shown(part.value, values) for part in expression.parts)


def _shown(expression: Expression, values: Values) -> str:
    """A hole's text: a string as it is, an enum's member by name, the rest as JSON."""
    return text_of_value(evaluate(expression, values), expression.type)


def text_of_value(value: Any, type: t.Type) -> str:
    """A string as it is, an enum's member by name, the rest as JSON."""
    if isinstance(value, str):
        return str(value.value) if isinstance(value, Enum) else value
    return adapter(type).dump_json(value, warnings=False).decode()


def _field(expression: p.FieldAccess, values: Values) -> Any:
    target = evaluate(expression.target, values)
    if isinstance(expression.target.type, t.ThreadType):
        return chat_of_thread(_known(target))
    value = field_of(target, expression.name)
    if value is None and isinstance(target, Reply):
        raise NotKnown(str(expression.span))
    return value


def _known(thread: Thread) -> Thread:
    if any(isinstance(content, Hole) for turn in thread for content in turn.content):
        raise NotKnown("a thread with holes")
    return thread


def _binary(expression: p.Binary, values: Values) -> Any:
    left = evaluate(expression.left, values)
    match expression.operator:
        case "and":
            return left and evaluate(expression.right, values)
        case "or":
            return left or evaluate(expression.right, values)
        case "??":
            return evaluate(expression.right, values) if left is None else left
    return _finite(_ARITHMETIC[expression.operator](left, evaluate(expression.right, values)))


def _finite(value: Any) -> Any:
    """Raises OverflowError for what is no number any more, and no JSON."""
    if isinstance(value, float) and not isfinite(value):
        raise OverflowError
    return value


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda item, container: item in container,
    "not in": lambda item, container: item not in container,
}


def _record(expression: p.RecordValue, values: Values) -> Any:
    given = {name: evaluate(value, values) for name, value in expression.fields}
    return python_type(expression.type)(**tagged(expression.type), **given)


def _slice(expression: p.Slice, values: Values) -> Any:
    start, stop = (None if end is None else evaluate(end, values) for end in (expression.start, expression.stop))
    return evaluate(expression.target, values)[start:stop]


def _index(expression: p.Index, values: Values) -> Any:
    target, index = evaluate(expression.target, values), evaluate(expression.index, values)
    return target.get(index) if isinstance(target, dict) else target[index]


def _builtin(expression: p.Builtin, values: Values) -> Any:
    if expression.function == "str":
        return _shown(expression.arguments[0], values)
    arguments = [evaluate(item, values) for item in expression.arguments]
    if expression.function not in OF_TOKENS:
        return _finite(BUILTINS[expression.function](*arguments))
    if MODEL not in values:
        raise NotKnown(MODEL)
    first = _known(arguments[0]) if isinstance(arguments[0], Thread) else arguments[0]
    return OF_TOKENS[expression.function](values[MODEL].prompter, first, *arguments[1:])


def _unary(expression: p.Unary, values: Values) -> Any:
    value = evaluate(expression.operand, values)
    return not value if expression.operator == "not" else -value


def _match(expression: p.MatchValue, values: Values) -> Any:
    """Only in an intrinsic's value: elsewhere lowering has made tests of it."""
    subject = evaluate(expression.subject, values)
    for arm in expression.arms:
        if not arm.patterns or any(_fits(pattern, subject, values) for pattern in arm.patterns):
            bound = {arm.binding.name: subject} if arm.binding else {}
            return evaluate(arm.value, {**values, **bound})
    raise AssertionError("a match misses a case")


def _fits(pattern: p.Pattern, subject: Any, values: Values) -> bool:
    match pattern:
        case p.TypePattern(type=tested):
            return is_value_of(subject, tested)
        case p.ValuePattern(value=value):
            return bool(subject == evaluate(value, values))


def _expected(expression: p.Expected, values: Values) -> float:
    """The mean of the operand over what an intrinsic may have written."""
    written: Distribution = values[ITS_DISTRIBUTION]
    return written.mean([evaluate(expression.operand, {**values, "it": it}) for it in written.outcomes])


def _distribution(expression: p.Probability | p.Top | p.Mean, values: Values) -> Distribution:
    value = evaluate(expression.target, values)
    assert isinstance(value, Distribution)
    return value


_RULES: dict[type[Expression], Callable[[Any, Values], Any]] = {
    NodeValue: _node,
    p.Reference: lambda e, values: values[e.binding.name],  # only in an intrinsic's value: `it`, and its parameters
    p.Expected: _expected,
    p.Literal: lambda e, values: e.value,
    p.Text: _text,
    p.EnumMember: lambda e, values: python_type(e.type)(e.type.text(e.member)),
    p.RecordValue: _record,
    p.ListValue: lambda e, values: [evaluate(item, values) for item in e.items],
    p.MapValue: lambda e, values: {key: evaluate(value, values) for key, value in e.entries},
    p.DocumentValue: lambda e, values: Document(text=evaluate(e.text, values), title=evaluate(e.title, values)),
    p.FieldAccess: _field,
    p.Index: _index,
    p.Slice: _slice,
    p.Probability: lambda e, values: _distribution(e, values).p(evaluate(e.outcome, values)),
    p.Top: lambda e, values: _distribution(e, values).top,
    p.Mean: lambda e, values: _distribution(e, values).expected,
    p.Unary: _unary,
    p.Binary: _binary,
    p.IfValue: lambda e, values: evaluate(e.then if evaluate(e.condition, values) else e.otherwise, values),
    p.MatchValue: _match,
    p.IsTest: lambda e, values: is_value_of(evaluate(e.operand, values), e.tested) != e.negated,
    p.Builtin: _builtin,
    p.TurnValue: lambda e, values: thread_of(e, values),
    p.Join: lambda e, values: thread_of(e, values),
}


# ------------------------------------------------------------------- threads


def thread_of(expression: Expression, values: Values) -> Thread:
    """The thread that an expression of type thread, chat or reply stands for; what is not known becomes a hole."""
    match expression:
        case p.Join(parts=parts):
            thread = thread_of(parts[0], values)
            for part in parts[1:]:
                turns = (_turn(part, values),) if isinstance(part, p.TurnValue) else thread_of(part, values)
                thread = thread.then(*turns)
            return thread
        case p.TurnValue():
            return Thread.of((_turn(expression, values),))
        case p.IfValue() if (holds := known(expression.condition, values)) is not None:
            return thread_of(expression.then if holds else expression.otherwise, values)
    try:
        value = evaluate(expression, values)
    except NotKnown:
        return Thread.of((Turn("", (Hole(describe(expression)),)),))
    if isinstance(value, Reply):
        return value.thread
    return value if isinstance(value, Thread) else thread_of_chat(value)


def _turn(expression: p.TurnValue, values: Values) -> Turn:
    return Turn(expression.role, tuple(_contents(expression.content, values)))


def known(expression: Expression, values: Values) -> Any:
    """A value, None where it is not known yet."""
    try:
        return evaluate(expression, values)
    except NotKnown:
        return None


def _contents(expression: Expression, values: Values) -> list[Content]:
    """A turn's content, piece by piece: literals of the flow file may make control tokens, the rest is data."""
    match expression:
        case p.Text(parts=parts):
            return [piece_of(part, values) for part in parts]
        case p.Binary(operator="+") if isinstance(expression.type, t.StrType):
            return _contents(expression.left, values) + _contents(expression.right, values)
    return [_data(expression, values)]


def piece_of(part: str | p.StringHole, values: Values) -> Content:
    """A piece of a text: what the flow's author wrote may make control tokens, what fills a hole is data."""
    if isinstance(part, str):
        return KnownText(part, control=True)
    try:
        return KnownText(_shown(part.value, values))
    except NotKnown:
        return Hole(describe(part.value))


def _data(expression: Expression, values: Values) -> Content:
    try:
        value = evaluate(expression, values)
    except NotKnown:
        return Hole(describe(expression))
    return KnownText(value) if isinstance(value, str) else passages(value)
