"""What flows give to the outside: threads and replies go from flow to flow only."""

from __future__ import annotations

from alora_flow.language.checking.scope import Unit
from alora_flow.language.meaning.program import FlowDecl
from alora_flow.language.meaning.relations import is_data, is_lasting
from alora_flow.language.syntax import nodes


def check_results(unit: Unit) -> None:
    """A flow that no other one calls, and that data are enough for, must give data: it is there to be run."""
    called = {callee for caller, callee, _ in unit.calls if caller != callee}
    for flow in unit.symbols.values():
        if not isinstance(flow, FlowDecl) or flow.key in called or is_lasting(flow.result):
            continue
        if all(is_data(parameter.type) for parameter in flow.parameters):
            node = unit.declared[flow.name]
            assert isinstance(node, nodes.FlowDef)
            message = f"'{flow.name}' gives {flow.result}, which cannot leave a run, and no flow calls it"
            help = "give data, as in '.text' of a reply or '.chat' of a thread"
            unit.report.add("E0404", message, node.result.span, help)
