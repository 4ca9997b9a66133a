"""What a run is doing right now, for a terminal."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.spinner import Spinner

from alora_flow.execution.events import Event, NodeEnded, NodeStarted
from alora_flow.planning.graph.nodes import FlowGraph

WORTH_SHOWING = ("generate", "invoke", "tool")


class ProgressView:
    """One line: how many nodes are decided, and which calls are running."""

    def __init__(self, graph: FlowGraph) -> None:
        self._total = len(graph.nodes)
        self._decided = 0
        self._kinds = {node.id: node.kind for node in graph.nodes.values()}
        self._running: dict[str, None] = {}
        self._spinner = Spinner("dots", text="loading the model")

    def tell(self, event: Event) -> None:
        """A node began or ended."""
        match event:
            case NodeStarted(node=node):
                self._running[node] = None
            case NodeEnded(node=node):
                self._decided += 1
                self._running.pop(node, None)
            case _:
                return
        calls = [node for node in self._running if self._kinds[node] in WORTH_SHOWING]
        self._spinner.update(text=f"{self._decided}/{self._total}  {', '.join(calls)}")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._spinner
