"""What a run is doing right now, for a terminal."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.spinner import Spinner
from rich.text import Text

from alora_flow.execution.events import Event, NodeEnded, NodeStarted, TextWritten
from alora_flow.language.report.render import harmless
from alora_flow.planning.graph.nodes import FlowGraph

WORTH_SHOWING = ("generate", "invoke", "tool")

MOST_TEXTS = 3
"""Of so many answers that grow the text is shown, of those that have grown last."""

MOST_LINES = 12
"""So many lines they have together."""

KEPT = 4000
"""Characters of an answer's end that are kept: more than any terminal shows of it."""


class ProgressView:
    """How many nodes are decided, which calls are running, and what they have written so far."""

    def __init__(self, graph: FlowGraph) -> None:
        self._total = len(graph.nodes)
        self._decided = 0
        self._kinds = {node.id: node.kind for node in graph.nodes.values()}
        self._running: dict[str, None] = {}
        self._texts: dict[str, str] = {}  # the one that has grown last is the last
        self._spinner = Spinner("dots", text="loading the model")

    def tell(self, event: Event) -> None:
        """A node began or ended."""
        match event:
            case NodeStarted(node=node):
                self._running[node] = None
            case NodeEnded(node=node):
                self._decided += 1
                self._running.pop(node, None)
                self._texts.pop(node, None)
            case _:
                return
        calls = [node for node in self._running if self._kinds[node] in WORTH_SHOWING]
        self._spinner.update(text=f"{self._decided}/{self._total}  {', '.join(calls)}")

    def tell_text(self, event: TextWritten) -> None:
        """An answer has grown."""
        self._texts[event.node] = (self._texts.pop(event.node, "") + event.text)[-KEPT:]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._spinner
        shown = list(self._texts.items())[-MOST_TEXTS:]
        for node, text in shown:
            yield Text(node, "dim")
            lines = Text(harmless(text)).wrap(console, options.max_width - 2)[-(MOST_LINES // len(shown)) :]
            yield Padding(Text("\n").join(lines), (0, 0, 0, 2))
