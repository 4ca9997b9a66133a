"""What a test may ask about the calls so far: `calls(search)`, `plan.reused`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alora_flow.planning.graph.nodes import Invoke, Node
from alora_runtime.requests import Completion

Ran = Sequence[tuple[Node, Completion]]


def _share(ran: Ran) -> float:
    """The share of prompt tokens that came from the cache; 0 where nothing ran."""
    reused = sum(completion.reused for _, completion in ran)
    return reused / max(1, reused + sum(completion.prefilled for _, completion in ran))


FIGURES: dict[str, Callable[[Ran], float]] = {
    "reused": _share,
    "prefilled": lambda ran: sum(completion.prefilled for _, completion in ran),
    "generated": lambda ran: sum(completion.generated + completion.forced for _, completion in ran),
    "invokes": lambda ran: sum(isinstance(node.operation, Invoke) for node, _ in ran),
    "nodes": len,
}
"""Names of `language.program.PLAN_FIELDS`; of the model calls that ran on the engine, mocked ones left out."""
