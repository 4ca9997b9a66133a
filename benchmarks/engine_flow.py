"""The reference flow: one context, an answer of the base model, then intrinsics on both; against PEFT and llama.cpp."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from alora_runtime import Engine, Request, Run
from benchmarks.engine_models import INVOCATION, make_adapter, make_model
from benchmarks.engine_peers import Stages, flow_by_hand, flow_per_call, load_peft
from benchmarks.engine_timing import Row, Times, at_least, ratio, spread
from benchmarks.llama_server import SERVER, flow_server, proof, running

CONTEXT, WRITTEN = 2048, 64
TARGETS = {"PEFT per call": (4, 25), "PEFT by hand": (1.5, 4), SERVER: (1, 1)}
"""How many times as long a peer should take: for the whole flow, and for the intrinsics."""
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


Flow = Callable[[Sequence[int]], Stages]


def flow_context(seed: int) -> list[int]:
    """Random ids."""
    return random.Random(seed).choices(range(10, 8000), k=CONTEXT)


def rows(home: Path, repeats: int, llama_server: str | None = None) -> list[Row]:
    """Whole flow, and the stages of it, against each peer; llama.cpp's server where its binary is given."""
    model = make_model(home / "27M", "27M")
    activated = {name: make_adapter(home / f"{name}-alora", model, seed) for seed, name in enumerate("abc")}
    plain = {name: make_adapter(home / f"{name}-lora", model, seed, activated=False) for seed, name in enumerate("abc")}
    per_call, hand, engine = load_peft(model, activated), load_peft(model, plain), Engine.load(model, activated)

    def fresh_engine(context: Sequence[int]) -> Stages:
        engine.forget()
        return flow_engine(engine, context)

    jobs: dict[str, Flow] = {
        "PEFT per call": lambda context: flow_per_call(per_call, context, WRITTEN, CALLS),
        "PEFT by hand": lambda context: flow_by_hand(hand, context, WRITTEN, CALLS),
        "engine": fresh_engine,
    }
    if llama_server is None:
        missing = "not measured: no `--llama-server`"
        return [*compared(take_turns(jobs, repeats)), Row(f"reference flow: {SERVER} / engine", "", missing)]
    with running(llama_server, home, model, activated, torch.get_num_threads()) as server:
        same = proof(server, engine, flow_context(0), WRITTEN, CALLS[:3])
        if same.met:
            jobs[SERVER] = lambda context: flow_server(server, context, WRITTEN, CALLS)
        return [*compared(take_turns(jobs, repeats)), same]


def take_turns(jobs: dict[str, Flow], repeats: int) -> dict[str, list[Stages]]:
    """Each job on the same contexts: once to warm up, then `repeats` rounds."""
    taken: dict[str, list[Stages]] = {name: [] for name in jobs}
    for repeat in range(repeats + 1):
        context = flow_context(repeat)
        for name, job in jobs.items():
            stages = job(context)
            if repeat:
                taken[name].append(stages)
    return taken


def compared(taken: dict[str, list[Stages]]) -> list[Row]:
    """Peers over engine, for the whole and for each stage."""
    whole = {name: Times(tuple(map(sum, stages))) for name, stages in taken.items()}
    first = {name: Times(tuple(stage[0] for stage in stages)) for name, stages in taken.items()}
    second = {name: Times(tuple(stage[1] for stage in stages)) for name, stages in taken.items()}
    peers = [peer for peer in TARGETS if peer in taken]
    result = []
    for place, (stage, times) in enumerate((("whole", whole), ("intrinsics", second))):
        for peer in peers:
            name, target = f"reference flow, {stage}: {peer} / engine", TARGETS[peer][place]
            result.append(at_least(name, target, times[peer], times["engine"], (peer, "engine")))
    for peer in peers[1:]:
        details = f"{peer} {first[peer]}, engine {first['engine']}"
        answer = spread(ratio(first[peer], first["engine"]))
        result.append(Row(f"reference flow, context and answer: {peer} / engine", "", answer, details))
    return result
