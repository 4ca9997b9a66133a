"""Requests served step by step, with every invariant checked after every step."""

from __future__ import annotations

from collections.abc import Sequence

from alora_runtime import Completion, Engine, Request


def serve(engine: Engine, *waves: Sequence[Request], apart: int = 2) -> list[Completion]:
    """Waves of requests, so many steps after each other; the answers in the order of submission."""
    tickets: list[int] = []
    results: dict[int, Completion] = {}
    for wave in waves:
        tickets += [engine.submit(request) for request in wave]
        for _ in range(apart):
            results |= engine.step()
            engine.check()
    while engine.busy:
        results |= engine.step()
        engine.check()
    return [results[ticket] for ticket in tickets]
