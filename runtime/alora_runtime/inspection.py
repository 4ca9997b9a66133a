"""What is inside an engine at a moment: for tests, tools and people who wonder."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from torch import Tensor

from alora_runtime.adapters.library import Library
from alora_runtime.workspace import Workspace


@dataclass(frozen=True)
class CachedRun:
    """One run of the prefix cache: tokens under one label that follow each other.

    depth: tokens before it. ready: how many of its tokens have their KV. references: live requests and pins on it.
    """

    depth: int
    label: Hashable
    tokens: tuple[int, ...]
    ready: int
    references: int


@dataclass(frozen=True)
class Inspection:
    """Slots are tokens of KV. free: slots that nothing has; stored: those of the cache; held: those of them that live
    requests or pins stand on. running, waiting: tickets in their order. pins: name → slots. adapters: name → the number
    that rows carry; loaded: numbers whose weights are in the model. slow: why the model runs on the slow reference, or
    "". deadlines: time-outs that are looked at. arena: `[layers, slots + 1, 2, kv_heads, dim]`, the KV itself."""

    total: int
    free: int
    stored: int
    held: int
    running: tuple[int, ...]
    waiting: tuple[int, ...]
    pins: Mapping[str, int]
    adapters: Mapping[str, int]
    loaded: frozenset[int]
    runs: tuple[CachedRun, ...]
    slow: str
    deadlines: int
    arena: Tensor


def inspection(work: Workspace, library: Library, deadlines: int) -> Inspection:
    """What an engine works on, and its adapters. deadlines: time-outs that it looks at. Another thread may be at work:
    what it changes is copied before it is looked through."""
    scheduler, tree = work.scheduler, work.scheduler.tree
    return Inspection(
        total=tree.pool.total,
        free=tree.pool.free,
        stored=tree.stored,
        held=tree.held,
        running=tuple(live.ticket for live in [*scheduler.running]),
        waiting=tuple(live.ticket for live in [*scheduler.waiting]),
        pins={name: sum(end.end for end in ends) for name, ends in [*scheduler.pins.ends.items()]},
        adapters=library.numbers,
        loaded=frozenset(library.loaded),
        runs=tuple(
            CachedRun(node.depth, node.label, node.tokens, node.ready, node.references) for node in tree.nodes()
        ),
        slow=work.model.slow,
        deadlines=deadlines,
        arena=work.arena,
    )
