"""The reference flow: one context, an answer of the base model, then intrinsics on both; against PEFT."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from alora_runtime import Engine, Request, Run
from benchmarks.engine_models import INVOCATION, make_adapter, make_model
from benchmarks.engine_peers import Stages, flow_by_hand, flow_per_call, load_peft
from benchmarks.engine_timing import Row, Times, at_least, ratio, spread

CONTEXT, WRITTEN = 2048, 64
CALLS = [(name, INVOCATION) for name in ("a", "b", "c", "a", "b")]


def flow_engine(engine: Engine, context: Sequence[int]) -> Stages:
    """The same requests to the engine, from an empty cache."""
    began = time.perf_counter()
    base = Run(context)
    written = engine.generate([Request([base], max_tokens=WRITTEN, ignore_eos=True)])[0].tokens
    middle = time.perf_counter()
    requests = [
        Request([base, Run(written), Run(invocation, adapter)], max_tokens=4, ignore_eos=True)
        for adapter, invocation in CALLS
    ]
    engine.generate(requests)
    return middle - began, time.perf_counter() - middle


def rows(home: Path, repeats: int) -> list[Row]:
    """Whole flow, and the intrinsics' stage of it, against both peers."""
    model = make_model(home / "27M", "27M")
    activated = {name: make_adapter(home / f"{name}-alora", model, seed) for seed, name in enumerate("abc")}
    plain = {name: make_adapter(home / f"{name}-lora", model, seed, activated=False) for seed, name in enumerate("abc")}
    per_call, hand, engine = load_peft(model, activated), load_peft(model, plain), Engine.load(model, activated)

    def fresh_engine(context: Sequence[int]) -> Stages:
        engine.forget()
        return flow_engine(engine, context)

    jobs: dict[str, Callable[[Sequence[int]], Stages]] = {
        "PEFT per call": lambda context: flow_per_call(per_call, context, WRITTEN, CALLS),
        "PEFT by hand": lambda context: flow_by_hand(hand, context, WRITTEN, CALLS),
        "engine": fresh_engine,
    }
    taken: dict[str, list[Stages]] = {name: [] for name in jobs}
    for repeat in range(repeats + 1):
        context = random.Random(repeat).choices(range(10, 8000), k=CONTEXT)
        for name, job in jobs.items():
            stages = job(context)
            if repeat:
                taken[name].append(stages)
    whole = {name: Times(tuple(map(sum, stages))) for name, stages in taken.items()}
    first = {name: Times(tuple(stage[0] for stage in stages)) for name, stages in taken.items()}
    second = {name: Times(tuple(stage[1] for stage in stages)) for name, stages in taken.items()}
    result = []
    for stage, times, targets in (("whole", whole, (4, 1.5)), ("intrinsics", second, (25, 4))):
        for peer, target in zip(("PEFT per call", "PEFT by hand"), targets, strict=True):
            result.append(
                at_least(
                    f"reference flow, {stage}: {peer} / engine", target, times[peer], times["engine"], (peer, "engine")
                )
            )
    details = f"{first['PEFT by hand']}, engine {first['engine']}"
    answer = spread(ratio(first["PEFT by hand"], first["engine"]))
    return [*result, Row("reference flow, context and answer: PEFT by hand / engine", "", answer, details)]
