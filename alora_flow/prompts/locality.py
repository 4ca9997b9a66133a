"""Does a chat template write each turn by itself? Then a turn is written the same after the first turn as after a
thousand, and a thread costs what it adds.

Read from the template's source, so that it is known and not guessed: one loop over the messages, whose body looks at
its own message, at the first one, and at whether they are the same. A template that does more is rendered as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jinja2 import nodes

PURE = {"raise_exception", "strftime_now"}
"""Functions that give the same wherever they are called."""

UNKNOWN: tuple[type[nodes.Node], ...] = (
    nodes.AssignBlock,
    nodes.Block,
    nodes.Break,
    nodes.CallBlock,
    nodes.Extends,
    nodes.FilterBlock,
    nodes.FromImport,
    nodes.Import,
    nodes.Include,
    nodes.Macro,
    nodes.NSRef,
)
"""What may carry something from one turn to another, or is not looked through here."""


def writes_by_turn(tree: nodes.Template) -> bool:
    """Is what it writes of a turn a function of that turn, of the first one, and of whether they are the same?"""
    aliases = {"messages", *_aliases(tree)}
    loops = [node for node in tree.body if isinstance(node, nodes.For) and _over(node, aliases)]
    if len(loops) != 1 or next(tree.find_all(UNKNOWN), None):
        return False
    allowed = {id(loops[0].iter), *_first(tree, aliases), *_aliasing(tree), *_places(loops[0]), *_inner(tree, loops[0])}
    named = (node for node in tree.find_all(nodes.Name) if node.name in {*aliases, "loop"})
    return all(id(node) in allowed for node in named) and all(_pure(call.node) for call in tree.find_all(nodes.Call))


def _over(loop: nodes.For, aliases: Iterable[str]) -> bool:
    """`for message in messages`, every one of them."""
    over_all = isinstance(loop.iter, nodes.Name) and loop.iter.name in aliases
    return over_all and isinstance(loop.target, nodes.Name) and loop.test is None and not loop.else_


def _inner(tree: nodes.Template, outer: nodes.For) -> Iterator[int]:
    """`loop` in loops over something else, such as the calls of a message."""
    for loop in tree.find_all(nodes.For):
        if loop is not outer:
            names = (node for part in loop.body for node in (part, *part.find_all(nodes.Name)))
            yield from (id(node) for node in names if isinstance(node, nodes.Name) and node.name == "loop")


def _aliases(tree: nodes.Template) -> Iterator[str]:
    """Other names of the messages: `set loop_messages = messages`."""
    for node in tree.body:
        if isinstance(node, nodes.Assign) and isinstance(node.node, nodes.Name) and node.node.name == "messages":
            yield from ([node.target.name] if isinstance(node.target, nodes.Name) else ())


def _aliasing(tree: nodes.Template) -> Iterator[int]:
    aliases = set(_aliases(tree))
    for node in tree.body:
        if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name) and node.target.name in aliases:
            yield from (id(node.target), id(node.node))


def _first(tree: nodes.Template, aliases: Iterable[str]) -> Iterator[int]:
    """The first message: `messages[0]`."""
    for node in tree.find_all(nodes.Getitem):
        if isinstance(node.node, nodes.Name) and node.node.name in aliases and _is(node.arg, 0):
            yield id(node.node)


def _places(loop: nodes.For) -> Iterator[int]:
    """Whether a message is the first: `loop.first`, `loop.index0 == 0`, `loop.index == 1`."""
    for node in loop.find_all(nodes.Getattr):
        if isinstance(node.node, nodes.Name) and node.node.name == "loop" and node.attr == "first":
            yield id(node.node)
    for compared in loop.find_all(nodes.Compare):
        place, operands = compared.expr, compared.ops
        if isinstance(place, nodes.Getattr) and isinstance(place.node, nodes.Name) and place.node.name == "loop":
            start = {"index0": 0, "index": 1}.get(place.attr)
            if [operand.op for operand in operands] in (["eq"], ["ne"]) and _is(operands[0].expr, start):
                yield id(place.node)


def _is(node: nodes.Node | None, number: int | None) -> bool:
    return isinstance(node, nodes.Const) and type(node.value) is int and node.value == number


def _pure(called: nodes.Node) -> bool:
    """A function that is known, or a method of a text."""
    return called.name in PURE if isinstance(called, nodes.Name) else isinstance(called, nodes.Getattr)
