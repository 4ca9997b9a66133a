"""The formats that a graph can be written in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from alora_flow.planning.graph.nodes import FlowGraph
from alora_flow.views.dot import to_dot
from alora_flow.views.drawing import Drawing, draw
from alora_flow.views.mermaid import to_mermaid
from alora_flow.views.svg import to_svg


class Format(NamedTuple):
    """How a drawing is written, and the endings of files that hold it."""

    write: Callable[[Drawing], str]
    suffixes: tuple[str, ...]


FORMATS = {
    "dot": Format(to_dot, (".dot", ".gv")),
    "mermaid": Format(to_mermaid, (".mmd", ".mermaid")),
    "svg": Format(to_svg, (".svg",)),
}


def render(graph: FlowGraph, name: str, doc: str = "") -> str:
    """The graph in the format of this name."""
    return FORMATS[name].write(draw(graph, doc))


def format_of(path: Path) -> str | None:
    """The format that a file's name asks for."""
    return next((name for name, form in FORMATS.items() if path.suffix.lower() in form.suffixes), None)
