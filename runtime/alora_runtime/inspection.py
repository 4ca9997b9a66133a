"""What is inside an engine at a moment: for tests, tools and people who wonder."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from torch import Tensor


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
