"""How deeply a tree is nested, measured without recursion, so that everything after it may recurse."""

from __future__ import annotations

from dataclasses import fields

from alora_flow.language.report.diagnostics import Diagnostic
from alora_flow.language.syntax import nodes

DEEPEST = 100


def too_deep(file: nodes.File) -> list[Diagnostic]:
    """The first node that is nested deeper than anyone would want."""
    pending: list[tuple[nodes.Node, int]] = [(file, 0)]
    while pending:
        node, depth = pending.pop()
        if depth > DEEPEST:
            help = "give parts of it names with 'let', or make a flow of it"
            return [Diagnostic("E0108", f"nested more than {DEEPEST} levels deep", node.span, help)]
        pending += [(child, depth + 1) for child in children(node)]
    return []


def children(node: nodes.Node) -> list[nodes.Node]:
    found: list[nodes.Node] = []
    for name in NAMES[type(node).__name__]:
        value = getattr(node, name)
        if isinstance(value, nodes.Node):
            found.append(value)
        elif isinstance(value, tuple):
            found += [item for item in value if isinstance(item, nodes.Node)]
    return found


def _field_names(kind: type[nodes.Node]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind) if item.name != "span")


NAMES = {
    name: _field_names(kind)
    for name, kind in vars(nodes).items()
    if isinstance(kind, type) and issubclass(kind, nodes.Node)
}
