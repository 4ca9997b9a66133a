"""One of each kind of thing that a project is extended by, as its file would hold it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from transformers import LlamaConfig, LlamaForCausalLM

from alora_flow.backends.echo import Echo, open_echo
from alora_flow.language.meaning.builtins import Function
from alora_flow.language.meaning.types import STR
from alora_flow.language.report.diagnostics import Diagnostic
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph
from alora_flow.planning.schedule import Schedule
from alora_flow.planning.setup import Setup
from alora_flow.views.table import Subject

# A builtin: its type, and what it does.
SHOUT = Function(("str",), lambda given: STR if given[0] == STR else None, (STR,))


def shout(text: str) -> str:
    return f"{text.upper()}!"


# A backend: what opens it.
class Quiet(Echo):
    """An echo that never says anything."""

    def _last_turn(self, request: object) -> str:
        return "hush"


def open_quiet(setup: Setup) -> Quiet:
    echo = open_echo(setup)
    quiet = Quiet.__new__(Quiet)
    vars(quiet).update(vars(echo))
    return quiet


# A pass: from graph to graph.
def name_conditions(graph: FlowGraph) -> FlowGraph:
    """Says `not x` where a condition is a lone value, which changes the graph visibly and is wrong."""
    nodes = dict(graph.nodes)
    for node in graph.nodes.values():
        if isinstance(node.operation, g.Value):
            nodes[node.id] = replace(node, speculative=True)
    return replace(graph, nodes=nodes)


# A view: from its subject to text.
def count_nodes(subject: Subject) -> str:
    return f"{len(subject.graph.nodes)} nodes\n"


# A diagnostic: what gives it.
def long_flow(made: Schedule) -> Iterator[Diagnostic]:
    if len(made.steps) > 1:
        yield Diagnostic("W0999", f"{len(made.steps)} calls are many", made.steps[1].call.node.span, "make fewer")


# An architecture: transformers' class of it.
class TinyConfig(LlamaConfig):
    model_type = "tinylm"


class TinyLMForCausalLM(LlamaForCausalLM):
    config_class = TinyConfig
