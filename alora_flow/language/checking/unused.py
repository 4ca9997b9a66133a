"""Warnings about what is there and does nothing. Only for files without errors: a mended error may use it."""

from __future__ import annotations

from collections.abc import Iterator

from alora_flow.language.checking.scope import Unit
from alora_flow.language.meaning.program import FlowDecl
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.depth import children


def warn_unused(unit: Unit) -> None:
    """Names in flows that nothing reads, threads that nothing runs on, imports, tests without `expect`. A leading `_`
    says that it is meant."""
    parameters = {
        item.binding.id
        for symbol in unit.symbols.values()
        if isinstance(symbol, FlowDecl)
        for item in symbol.parameters
    }
    for binding, counted in unit.bindings:
        worth = counted or binding.id in parameters
        if worth and binding.id not in unit.used_ids and not binding.name.startswith("_"):
            if binding.kind == "thread":
                unit.report.add("W0803", f"nothing runs on the thread '{binding.name}'", binding.span, "leave it out")
            else:
                help = f"leave it out, or name it '_{binding.name}'"
                unit.report.add("W0801", f"'{binding.name}' is never used", binding.span, help)
    for node in unit.file.declarations:
        if isinstance(node, nodes.Test) and not any(isinstance(part, nodes.Expect) for part in _inside(node)):
            help = "say what must hold, as in 'expect r == …'"
            unit.report.add("W0809", "this test expects nothing: it passes if it runs", node.title.span, help)
        if isinstance(node, nodes.Import) and node.name.text not in unit.used:
            unit.report.add("W0801", f"the import '{node.name.text}' is never used", node.name.span, "leave it out")


def _inside(node: nodes.Node) -> Iterator[nodes.Node]:
    """All nodes below one."""
    for child in children(node):
        yield child
        yield from _inside(child)
