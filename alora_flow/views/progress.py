"""What a run is doing right now, for a terminal."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.spinner import Spinner

from alora_flow.execution.trace import Status
from alora_flow.planning.graph.nodes import FlowGraph, Node

WORTH_SHOWING = ("generate", "invoke", "tool")


class ProgressView:
    """One line: how many nodes are decided, and which calls are running."""

    def __init__(self, graph: FlowGraph) -> None:
        self._total = len(graph.nodes)
        self._decided = 0
        self._running: dict[str, Node] = {}
        self._spinner = Spinner("dots", text="loading the model")

    def tell(self, node: Node, status: Status | None) -> None:
        """A node began (None) or ended."""
        if status is None:
            self._running[node.id] = node
        else:
            self._decided += 1
            self._running.pop(node.id, None)
        calls = [node.id for node in self._running.values() if node.kind in WORTH_SHOWING]
        self._spinner.update(text=f"{self._decided}/{self._total}  {', '.join(calls)}")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._spinner
