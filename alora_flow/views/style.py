"""How each kind of node and arrow looks, in every format: one table each."""

from __future__ import annotations

from typing import NamedTuple


class NodeStyle(NamedTuple):
    """`shape` names a row of each format's own table of shapes; colours are light fills under dark text."""

    shape: str
    fill: str
    stroke: str
    meaning: str


class ArrowStyle(NamedTuple):
    """`dash` is SVG's `stroke-dasharray`, "" for a solid line; `width` in pixels."""

    width: float
    dash: str
    colour: str
    meaning: str


INK = "#1f2937"
"""The colour of text."""

NODES = {
    "input": NodeStyle("pill", "#e8eef7", "#5b7da8", "input of the flow"),
    "value": NodeStyle("box", "#f3f4f6", "#8a94a3", "pure value"),
    "thread": NodeStyle("box", "#e3f4e6", "#4a9a5c", "thread"),
    "condition": NodeStyle("hexagon", "#fff7d1", "#b8920c", "condition"),
    "generate": NodeStyle("box", "#ffe9cf", "#d07a1c", "the base model writes"),
    "invoke": NodeStyle("box", "#efe4fc", "#8a56c9", "intrinsic (adapter)"),
    "tool": NodeStyle("tool", "#daf3f3", "#2f8f92", "tool (Python)"),
    "merge": NodeStyle("hexagon", "#f8f3e2", "#b3a06a", "ways meet"),
    "select": NodeStyle("box", "#eceff5", "#6b7690", "the value that ran"),
    "loop": NodeStyle("tool", "#f4efe6", "#9a7b4f", "loop or recursion, with its bound"),
    "collect": NodeStyle("box", "#eceff5", "#6b7690", "all values that ran"),
    "require": NodeStyle("hexagon", "#fde4e1", "#c8574a", "requirement"),
    "attempt": NodeStyle("hexagon", "#fde4e1", "#c8574a", "nothing failed"),
    "failure": NodeStyle("box", "#fde4e1", "#c8574a", "what failed"),
    "toodeep": NodeStyle("pill", "#fde4e1", "#c8574a", "too deep: fails"),
    "mock": NodeStyle("box", "#f6ecf6", "#a06aa0", "mock of a test"),
    "mocked": NodeStyle("box", "#f6ecf6", "#a06aa0", "mocked by a test"),
    "callcount": NodeStyle("box", "#f3f4f6", "#8a94a3", "count of calls"),
    "figure": NodeStyle("box", "#f3f4f6", "#8a94a3", "figure of the plan"),
    "expect": NodeStyle("hexagon", "#e3f4e6", "#4a9a5c", "expectation"),
    "return": NodeStyle("pill", "#dfe7fb", "#4666c4", "result"),
}
"""By `Node.kind`."""

ARROWS = {
    "data": ArrowStyle(1.3, "", "#7c8798", "reads a value"),
    "thread": ArrowStyle(3.2, "", "#4a9a5c", "extends a thread"),
    "guard": ArrowStyle(1.5, "5 4", "#a8850b", "runs only if"),
}
"""By `Arrow.kind`."""
