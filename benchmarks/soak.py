"""Random requests with faults, for as long as wanted: every answer right, nothing held, memory bounded.

python -m benchmarks.soak [--requests 100000] [--model FOLDER]
"""

from __future__ import annotations

import argparse
import random
import resource
from contextlib import suppress
from dataclasses import replace
from time import perf_counter
from typing import Any

from alora_flow.mini import WEIGHTS
from alora_runtime import Completion, Constraint, Delta, Engine, Request, Run
from alora_runtime.errors import RequestError

UNDER_WAY = 24
"""Requests at a time."""

EVERY = 20
"""One report for so many hundredths of the requests."""


class Fault(Exception):
    """Injected."""


def kinds(pick: random.Random, vocabulary: int, count: int) -> list[Request]:
    """Requests of every kind, on a few contexts that share beginnings."""
    shared = tuple(pick.randrange(vocabulary) for _ in range(60))
    made = []
    for number in range(count):
        own = tuple(pick.randrange(vocabulary) for _ in range(pick.randrange(1, 20)))
        request = Request([Run((*shared[: pick.randrange(61)], *own))], max_tokens=pick.randrange(1, 12))
        match number % 5:
            case 1:
                request = replace(request, temperature=0.8, seed=number, top_k=40)
            case 2:
                request = replace(request, choices=[(5, 6), (5, 7, 8), (9,)])
            case 3:
                request = replace(request, constraint=Constraint.regex("[a-z]{2,6}"), max_tokens=12)
            case 4:
                request = replace(request, stop_strings=["e"], logprobs=2)
        made.append(request)
    return made


def soak(engine: Engine, wanted: int, seed: int = 0) -> None:
    """Serve so many requests while steps, listeners and callers fail; raises where an answer is wrong."""
    pick = random.Random(seed)
    requests = kinds(pick, engine.model.vocabulary, 60)
    right = [answer.tokens for answer in engine.generate(requests)]
    rows = engine.model.rows
    counts = {"right": 0, "cancelled": 0, "timeout": 0, "error": 0, "refused": 0, "faults": 0}

    def failing(batch: Any) -> Any:
        if pick.random() < 0.02:
            raise Fault
        return rows(batch)

    def listener(_: Delta) -> None:
        if pick.random() < 0.01:
            raise pick.choice((Fault, KeyboardInterrupt))

    engine.model.rows = failing  # type: ignore[method-assign]
    under_way: dict[int, int] = {}
    done, began = 0, perf_counter()
    while done < wanted:
        while len(under_way) < UNDER_WAY:
            number = pick.randrange(len(requests))
            request = replace(requests[number], timeout=0.0) if pick.random() < 0.02 else requests[number]
            if pick.random() < 0.02:
                with suppress(RequestError):
                    engine.submit(replace(request, max_tokens=pick.choice((1.5, "a", None, -1))))  # type: ignore[arg-type]
                counts["refused"] += 1
            under_way[engine.submit(request, listener if pick.random() < 0.3 else None)] = number
        if pick.random() < 0.05:
            with suppress(KeyboardInterrupt):
                engine.cancel(pick.choice(list(under_way)))
        finished: list[tuple[int, Completion]] = []
        try:
            finished = engine.step()
        except (Fault, KeyboardInterrupt):
            counts["faults"] += 1
        for ticket, answer in finished:
            number = under_way.pop(ticket)
            whole = answer.finish not in counts
            if whole and answer.tokens != right[number]:
                raise SystemExit(f"request {number} of seed {seed} answered {answer.tokens}, not {right[number]}")
            counts["right" if whole else answer.finish] += 1
            done += 1
            if done % max(1, wanted * EVERY // 100) == 0:
                engine.check()
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(f"{done:>9,} requests  {perf_counter() - began:7.1f} s  {memory:7.0f} MiB at most  {counts}")
    engine.model.rows = rows  # type: ignore[method-assign]
    for ticket in under_way:
        with suppress(KeyboardInterrupt):
            engine.cancel(ticket)
    while engine.busy:
        with suppress(KeyboardInterrupt):
            engine.step()
    engine.forget()
    engine.check()
    inside = engine.inspect()
    assert (inside.held, inside.stored, inside.deadlines) == (0, 0, 0), inside


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--model", default=str(WEIGHTS / "base"))
    arguments = parser.parse_args()
    soak(Engine.load(arguments.model, cache_tokens=1200, chunk_tokens=128), arguments.requests)


if __name__ == "__main__":
    main()
