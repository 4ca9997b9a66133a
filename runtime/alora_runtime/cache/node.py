"""One run of the prefix cache. Integers only."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from alora_runtime.cache.extents import Extent, joined


class CacheNode:
    """A run of the tree, from position `depth` of every sequence through it.

    ready: how many of its tokens have their KV; planned: the same once the step being prepared is done.
    references: live requests whose sequence passes through. retained: how many sequences end here that go last.
    row: whatever the engine keeps for the last token.
    rank: the smaller, the sooner it is evicted: (0, …) will not be used again, (1, last use, …) nothing is known,
    (2, -when, until) a plan goes on from it, the later the sooner out, and is forgotten after request `until`.
    """

    __slots__ = (
        "children",
        "depth",
        "label",
        "parent",
        "planned",
        "rank",
        "ready",
        "references",
        "retained",
        "row",
        "start",
        "tokens",
    )

    def __init__(self, parent: CacheNode | None, label: Hashable, tokens: Sequence[int], start: int) -> None:
        self.parent, self.label, self.tokens, self.start = parent, label, tuple(tokens), start
        self.depth = parent.end if parent else 0
        self.children: dict[tuple[Hashable, int], CacheNode] = {}
        self.ready = self.planned = self.references = self.retained = 0
        self.rank = (1, 0, 0)
        self.row: object | None = None

    @property
    def end(self) -> int:
        """The position after its last token."""
        return self.depth + len(self.tokens)

    @property
    def key(self) -> tuple[Hashable, int]:
        """Where its parent finds it."""
        return self.label, self.tokens[0]

    @property
    def idle(self) -> bool:
        """A leaf that no live request passes through: it may be evicted."""
        return not self.references and not self.children and self.parent is not None

    def path(self) -> list[CacheNode]:
        """From the first run to this one, without the root."""
        nodes = []
        node: CacheNode | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def extents(self) -> list[Extent]:
        """The slots of the whole sequence that ends here, in order of position."""
        return joined(Extent(node.start, len(node.tokens)) for node in self.path())


def common(left: Sequence[int], right: Sequence[int], offset: int) -> int:
    """How many tokens `left` and `right[offset:]` have in common at their start."""
    most = min(len(left), len(right) - offset)
    if left is right and offset == 0:  # as where prompts have a run in common
        return most
    if left[:most] == right[offset : offset + most]:
        return most
    return next(index for index in range(most) if left[index] != right[offset + index])
