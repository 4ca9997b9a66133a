"""Every view of a stage, by stage and format. A further one is its function and a line here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from alora_flow.frozen import dataclass
from alora_flow.language.meaning.program import FlowDecl
from alora_flow.language.printing.program import show_program
from alora_flow.planning.budget import within_budgets
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.graph.nodes import FlowGraph
from alora_flow.planning.graph.text import print_graph
from alora_flow.planning.schedule import Schedule, print_schedule
from alora_flow.views.dot import to_dot
from alora_flow.views.drawing import Drawing, draw
from alora_flow.views.folding import fold
from alora_flow.views.mermaid import to_mermaid
from alora_flow.views.plan_json import plan_json
from alora_flow.views.plan_text import show_plan
from alora_flow.views.svg import to_svg
from alora_flow.views.syntax import show_tokens, show_tree


@dataclass(frozen=True)
class Subject:
    """What is shown: a file, one of its flows, what is known of the flow's inputs, and whether loops are unrolled."""

    compilation: Compilation
    flow: FlowDecl | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    unrolled: bool = False

    @property
    def chosen(self) -> FlowDecl:
        """The flow; the file's main one where none was named."""
        return self.flow or self.compilation.flow(None)

    @property
    def graph(self) -> FlowGraph:
        return self.compilation.graph(self.chosen)

    @cached_property
    def schedule(self) -> Schedule:
        return self.compilation.schedule(self.chosen, self.inputs)

    @property
    def drawing(self) -> Drawing:
        """With every node."""
        return draw(self.graph, self.compilation.doc(self.chosen))

    @property
    def picture(self) -> Drawing:
        """As people want to see it."""
        return self.drawing if self.unrolled else fold(self.drawing, self.graph)


View = Callable[[Subject], str]


def _plan_text(subject: Subject) -> str:
    out = StringIO()
    show_plan(Console(file=out, highlight=False), subject.drawing, within_budgets(subject.schedule))
    return out.getvalue()


def _plan_json(subject: Subject) -> str:
    made = plan_json(subject.graph, within_budgets(subject.schedule), subject.compilation.model.name)
    return json.dumps(made, ensure_ascii=False, indent=2) + "\n"


VIEWS: dict[tuple[str, str], View] = {
    ("tokens", "text"): lambda subject: show_tokens(subject.compilation.source),
    ("tree", "text"): lambda subject: show_tree(subject.compilation.source),
    ("program", "text"): lambda subject: show_program(subject.compilation.program),
    ("graph", "text"): lambda s: print_graph(s.graph, s.compilation.program),
    ("graph", "dot"): lambda subject: to_dot(subject.picture),
    ("graph", "mermaid"): lambda subject: to_mermaid(subject.picture),
    ("graph", "svg"): lambda subject: to_svg(subject.picture),
    ("schedule", "text"): lambda s: print_schedule(s.schedule),
    ("plan", "text"): _plan_text,
    ("plan", "json"): _plan_json,
}
"""(Stage, format) → view. `alora-flow show` prints the text, `graph` the drawings, `plan` both of the plan's."""

ENDINGS = {".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid", ".svg": "svg", ".json": "json"}
"""Endings of files → format."""


def stages() -> list[str]:
    """All stages, in the order of the line."""
    return list(dict.fromkeys(stage for stage, _ in VIEWS))


def formats(stage: str) -> list[str]:
    """The formats of a stage."""
    return [form for of, form in VIEWS if of == stage]


def format_of(path: Path, stage: str) -> str | None:
    """The format of a stage that a file's name asks for."""
    form = ENDINGS.get(path.suffix.lower())
    return form if (stage, form) in VIEWS else None
