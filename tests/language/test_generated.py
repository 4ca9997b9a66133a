"""Programs made at random: what is printed is read back as the same tree."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alora_flow.language.printing.file import format_source, print_file
from alora_flow.language.report.source import Source
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.parser import parse
from alora_flow.language.syntax.words import RESERVED

NOWHERE = Source("", "").span(0, 0)

words = st.text("abcdefgxyz_é", min_size=1, max_size=6).filter(lambda word: word not in RESERVED)
names = words.map(lambda word: nodes.Identifier(NOWHERE, word))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
plain_texts = st.text("abc xyz.,", max_size=12)


def identifier(text: str) -> nodes.Identifier:
    return nodes.Identifier(NOWHERE, text)


def made(kind: type, *parts: st.SearchStrategy) -> st.SearchStrategy:
    return st.builds(lambda *values: kind(NOWHERE, *values), *parts)


def many(items: st.SearchStrategy, least: int = 0, most: int = 3) -> st.SearchStrategy:
    return st.lists(items, min_size=least, max_size=most).map(tuple)


def maybe(items: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | items


def strings(holes: st.SearchStrategy, content: st.SearchStrategy = texts) -> st.SearchStrategy:
    """Neighbouring texts are one, empty ones none, as in a tree that was read."""
    parts = st.lists(content | holes, max_size=3).map(joined)
    return made(nodes.String, parts, st.booleans() if content is texts else st.just(False))


def joined(parts: list) -> tuple:
    result: list = []
    for part in parts:
        if isinstance(part, str) and result and isinstance(result[-1], str):
            result[-1] += part
        elif part != "":
            result.append(part)
    return tuple(result)


qualified = made(nodes.Qualified, maybe(names), names)
numbers = (st.integers(0, 10**6).map(str) | st.floats(0, 1e9).map(repr)).map(lambda raw: nodes.Number(NOWHERE, raw))
durations = st.builds(lambda n, unit: nodes.Duration(NOWHERE, f"{n}{unit}"), st.integers(0, 99), st.sampled_from("sm"))
constants = st.one_of(
    numbers, durations, made(nodes.Boolean, st.booleans()), st.just(nodes.NoneValue(NOWHERE)), made(nodes.Name, words)
)


def unions(members: tuple) -> nodes.TypeNode:
    flat = [
        part for member in members for part in (member.members if isinstance(member, nodes.UnionTypeNode) else [member])
    ]
    return nodes.UnionTypeNode(NOWHERE, tuple(flat))


types = st.recursive(
    made(nodes.NamedType, qualified)
    | st.just(nodes.NoneTypeNode(NOWHERE))
    | made(nodes.RangeType, names, maybe(numbers), maybe(numbers)),
    lambda inner: (
        made(nodes.GenericType, names, inner)
        | made(nodes.OptionalTypeNode, inner.filter(lambda type: not isinstance(type, nodes.OptionalTypeNode)))
        | many(inner, 2).map(unions)
    ),
    max_leaves=4,
)


def compound(inner: st.SearchStrategy) -> st.SearchStrategy:
    arguments = many(made(nodes.Argument, maybe(names), inner))
    binary = st.builds(
        lambda sign, left, right: nodes.Binary(NOWHERE, sign, left, right, NOWHERE),
        st.sampled_from(["or", "and", "==", "<", "in", "??", "+", "-", "*", "%"]),
        inner,
        inner,
    )
    runs = st.builds(
        lambda call, type, thread, bare: nodes.RunOn(NOWHERE, call, type, None if bare and type else thread),
        inner,
        maybe(types),
        inner,
        st.booleans(),
    )
    return st.one_of(
        made(nodes.List, many(inner)),
        made(nodes.Access, inner, names),
        made(nodes.Index, inner, inner),
        made(nodes.CallNode, inner, arguments),
        made(nodes.Slice, inner, maybe(inner), maybe(inner)),
        made(nodes.Unary, st.sampled_from(["not", "-"]), inner),
        made(nodes.IsTest, inner, types, st.booleans()),
        binary,
        runs,
    )


holes = st.recursive(constants | strings(st.nothing(), plain_texts), compound, max_leaves=4)
expressions = st.recursive(constants | strings(holes), compound, max_leaves=10)
states = made(nodes.State, names, expressions)
arguments = many(made(nodes.Argument, maybe(names), expressions))
clause = made(
    nodes.OnClause,
    qualified,
    maybe(names),
    maybe(expressions),
    st.sampled_from(["keep", "drop", "stop"]).map(identifier),
)
permissions = made(nodes.Permission, many(qualified), maybe(expressions), maybe(expressions), many(clause))


choices = made(nodes.IfValue, expressions, expressions, expressions) | made(
    nodes.MatchValue,
    expressions,
    many(made(nodes.ValueArm, many(made(nodes.TypePattern, types)), maybe(names), expressions), 1),
)


def blocks(statements: st.SearchStrategy) -> st.SearchStrategy:
    return made(nodes.Block, many(statements))


def statements_with(inner: st.SearchStrategy) -> st.SearchStrategy:
    block = blocks(inner)
    loops = made(nodes.For, names, expressions, maybe(expressions), block) | made(
        nodes.Repeat, many(states), expressions, block, maybe(block)
    )
    may = made(nodes.MayInvoke, expressions, permissions)
    handled_calls = made(nodes.Attempt, may, maybe(names), block | expressions | choices)
    attempt = made(nodes.Attempt, expressions | choices, maybe(names), block | expressions | choices)
    pattern = made(nodes.TypePattern, types) | made(
        nodes.ValuePattern, numbers | durations | strings(holes) | made(nodes.Boolean, st.booleans())
    )
    arm = made(nodes.Arm, many(pattern), maybe(names), block)
    return st.one_of(
        made(nodes.If, expressions, block, maybe(block | made(nodes.If, expressions, block, maybe(block)))),
        made(nodes.Match, expressions, many(arm)),
        made(nodes.Do, loops),
        made(nodes.Let, names, maybe(types), loops | may | choices | attempt | handled_calls),
        made(nodes.Return, loops | may | attempt | handled_calls),
        made(nodes.Accept, attempt | handled_calls, maybe(expressions)),
        made(nodes.Keep, attempt, maybe(expressions)),
        made(nodes.Thread, names, attempt),
    )


outcomes = expressions | made(nodes.Failing, expressions) | made(nodes.Invoking, qualified, arguments)
simple = st.one_of(
    made(nodes.Let, names, maybe(types), expressions),
    made(nodes.Thread, names, expressions),
    made(nodes.Return, expressions),
    made(nodes.Require, expressions, maybe(expressions)),
    made(nodes.Keep, expressions, maybe(expressions)),
    made(nodes.Accept, expressions, maybe(expressions)),
    made(nodes.Next, many(states, 1)),
    made(nodes.Mock, qualified, arguments, maybe(types), many(outcomes, 1)),
    made(nodes.Expect, expressions),
)
bodies = blocks(st.recursive(simple, statements_with, max_leaves=5))

docs = st.sampled_from(["", "One line.", "Two\nlines."])
plain = strings(st.nothing())
parameters = many(made(nodes.Parameter, names, types, maybe(expressions)))
settings_ = maybe(made(nodes.Settings, arguments))
items = st.one_of(
    made(nodes.Item, st.sampled_from(["adapter", "invoke"]).map(identifier), strings(holes)),
    made(nodes.Item, st.just(identifier("emits")), types | made(nodes.Choices, many(plain, 1))),
    made(nodes.Item, st.just(identifier("value")), expressions),
    made(nodes.Item, st.just(identifier("activate")), names),
)
clauses = many(
    made(nodes.MaxDepth, expressions)
    | st.just(nodes.Speculate(NOWHERE))
    | made(nodes.Budget, many(made(nodes.Limit, names, expressions)))
)
declarations = st.one_of(
    made(nodes.Import, plain, names, docs),
    made(nodes.ModelDef, names, plain, docs),
    made(nodes.Enum, names, many(made(nodes.Member, names, maybe(plain), docs)), docs),
    made(nodes.Record, names, many(made(nodes.Field, names, types, maybe(expressions), docs)), maybe(plain), docs),
    made(nodes.Alias, names, types, docs),
    made(nodes.Const, names, maybe(types), expressions, docs),
    made(nodes.Intrinsic, names, parameters, types, st.none(), settings_, many(items), many(permissions, 0, 1), docs),
    made(nodes.Intrinsic, names, parameters, types, plain, settings_, st.just(()), many(permissions, 0, 1), docs),
    made(nodes.Tool, names, parameters, maybe(types), names, plain, settings_, docs),
    made(nodes.FlowDef, names, parameters, types, clauses, bodies, docs),
    made(nodes.Test, plain, bodies, docs),
)
files = made(nodes.File, many(declarations, 1, 2))


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(files)
def test_print_then_parse(file: nodes.File) -> None:
    printed = print_file(file)
    parsed = parse(Source("", printed))
    assert parsed.file is not None, (printed, parsed.diagnostics)
    assert parsed.file.declarations == file.declarations, printed
    assert format_source(format_source(printed)) == format_source(printed)
    assert parse(Source("", format_source(printed))).file == parsed.file
