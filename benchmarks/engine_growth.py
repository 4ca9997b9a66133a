"""How times grow with the context, with rows and with adapters; and attention over a shared prefix."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from alora_runtime import Engine, Request, Run
from alora_runtime.compute.attention import Scoring, stores
from alora_runtime.compute.clusters import Cluster
from alora_runtime.compute.cpu.attention import attend
from benchmarks.engine_figures import tokens
from benchmarks.engine_models import INVOCATION, make_adapter, make_model
from benchmarks.engine_timing import Row, at_least, side_by_side


def shared_prefix(repeats: int) -> Row:
    """8 rows on 1,024 shared and 64 own tokens, 8 heads of 64 over 4 KV heads: one layer, against a call per row over
    a contiguous copy of its own sequence."""
    rows, prefix, own = 8, 1024, 64
    query, whole = torch.randn(rows, 8, 64), prefix + own
    (store,) = stores(torch.randn(1, prefix + rows * own + rows * whole, 2, 4, 64))
    mask, tails = torch.zeros(rows, own), slice(prefix, prefix + rows * own)
    together = [Cluster(0, rows, slice(0, prefix), own, tails, None, mask, False, stride=own)]
    alone = []
    for row in range(rows):
        view = slice(tails.stop + row * whole, tails.stop + (row + 1) * whole)
        alone.append(Cluster(row, row + 1, None, whole, view, None, None, False))

    def many(clusters: list[Cluster]) -> None:
        with torch.inference_mode():
            for _ in range(20):
                attend(query, store, clusters, Scoring(0.125))

    times = side_by_side({"each": lambda: lambda: many(alone), "shared": lambda: lambda: many(together)}, 4 * repeats)
    name = "attention, 8 rows on a shared prefix of 1,024: per sequence / shared"
    return at_least(name, 2.5, times["each"], times["shared"], ("20 times each", "20 times shared"))


def decode(engine: Engine, requests: list[Request], repeats: int) -> float:
    """Seconds of a decode step, the median of `repeats` times 8."""
    tickets = [engine.submit(request) for request in requests]
    for _ in range(3):
        engine.step()
    found = []
    for _ in range(8 * repeats):
        began = perf_counter()
        engine.step()
        found.append(perf_counter() - began)
    for ticket in tickets:
        engine.cancel(ticket)
    engine.step()
    return median(found)


def growth(home: Path, repeats: int) -> list[Row]:
    """Of the 27 M-parameter model."""
    model, repeats = make_model(home / "27M", "27M"), min(repeats, 3)
    engine = Engine.load(model)
    found = []
    for length in (256, 512, 1024, 2048, 4096, 8192):
        prompt, taken = Run(tokens(length, length)), []
        for _ in range(repeats):
            engine.forget()
            began = perf_counter()
            engine.generate([Request([prompt], max_tokens=1)])
            taken.append(perf_counter() - began)
        step = decode(engine, [Request([prompt], max_tokens=100, ignore_eos=True)], repeats)
        measured = f"prefill {median(taken) * 1e3:.0f} ms, {median(taken) / length * 1e6:.0f} µs a token"
        found.append(Row(f"context of {length:,} tokens", "", f"{measured}; decode step {step * 1e3:.1f} ms"))
    for rows in (1, 2, 4, 8, 16, 32, 64):
        requests = [Request([Run(tokens(row, 64))], max_tokens=100, ignore_eos=True) for row in range(rows)]
        step = decode(engine, requests, repeats)
        found.append(Row(f"{rows} rows", "", f"decode step {step * 1e3:.1f} ms, {step / rows * 1e3:.2f} ms a row"))
    names = [f"adapter{number}" for number in range(32)]
    for number, name in enumerate(names):
        engine.add_adapter(name, make_adapter(home / name, model, number))
    for count in (1, 2, 4, 8, 16, 32):
        requests = [
            Request([Run(tokens(row, 64)), Run(INVOCATION, names[row % count])], max_tokens=100, ignore_eos=True)
            for row in range(32)
        ]
        step = decode(engine, requests, repeats)
        found.append(Row(f"{count} adapters of rank 32 among 32 rows", "", f"decode step {step * 1e3:.1f} ms"))
    return found
