"""The single figures: decoding, adapters, intrinsics on one context, shared prefixes, bookkeeping."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from unittest.mock import patch

from alora_runtime import Engine, Request, Run
from alora_runtime.cache.tree import RunTree
from alora_runtime.compute.isolation import finite
from alora_runtime.schedule.scheduler import Scheduler
from alora_runtime.schedule.sequence import Live
from benchmarks.engine_models import INVOCATION, SHAPES, make_adapter, make_model
from benchmarks.engine_peers import generate, load_hf
from benchmarks.engine_timing import Job, Prepared, Row, Times, at_least, at_most, side_by_side


def tokens(seed: int, count: int, shape: str = "27M") -> tuple[int, ...]:
    """Random ids."""
    return tuple(random.Random(seed).choices(range(10, SHAPES[shape]["vocabulary"]), k=count))


def cold(engine: Engine, requests: Sequence[Request]) -> Prepared:
    """Served from an empty cache."""

    def prepare() -> Job:
        engine.forget()
        return lambda: engine.generate(requests)

    return prepare


def prefilled(home: Path) -> Row:
    """Tokens computed for prompts over the (token, adapter) pairs of their trie, in a flow of many branches."""
    model = make_model(home / "1M", "1M")
    adapters = {name: make_adapter(home / f"1M-{name}", model, seed) for seed, name in enumerate("ab")}
    engine, pick = Engine.load(model, adapters), random.Random(1)
    contexts = [Run(tokens(seed, 300, "1M")) for seed in range(4)]
    prompts = []
    for _ in range(60):
        context = pick.choice(contexts)
        cut = Run(context.tokens[: pick.choice((100, 200, 300))])
        prompts.append([cut, Run(INVOCATION, pick.choice((None, "a", "b"))), Run(tokens(pick.randrange(9), 20, "1M"))])
    for start in range(0, 60, 20):
        engine.generate([Request(prompt, max_tokens=1) for prompt in prompts[start : start + 20]])
    trie = set()
    for prompt in prompts:
        labelled = tuple((token, run.adapter) for run in prompt for token in run.tokens)
        trie |= {labelled[: end + 1] for end in range(len(labelled))}
    # A prompt may end where an earlier one went on: then its last token is computed again for its row.
    found = engine.stats.prefilled / len(trie)
    return Row(
        "prefilled tokens / trie minimum", "1.000", f"{found:.3f}", f"{engine.stats.prefilled} tokens", found <= 1
    )


def decoding(home: Path, shape: str, rows: int, target: float, repeats: int, count: int = 64) -> Row:
    """`count` tokens after prompts of 32, against transformers' generate."""
    model = make_model(home / f"decode-{shape}", shape)
    peer, engine = load_hf(model), Engine.load(model)
    prompts = [tokens(seed, 32, shape) for seed in range(rows)]
    requests = [Request([Run(prompt)], max_tokens=count, ignore_eos=True) for prompt in prompts]
    times = side_by_side(
        {"HF": lambda: lambda: generate(peer, prompts, count), "engine": cold(engine, requests)}, repeats
    )
    name = f"decode {shape}, {rows} row{'s' * (rows > 1)}: HF generate / engine"
    return at_least(name, target, times["HF"], times["engine"], ("HF", "engine"))


def steps(engine: Engine, requests: Sequence[Request], count: int) -> Prepared:
    """`count` decode steps, after the prompts."""

    def prepare() -> Job:
        tickets = [engine.submit(replace(request, max_tokens=count + 8)) for request in requests]
        engine.step()
        engine.step()

        def decode() -> None:
            for _ in range(count):
                engine.step()

        def job() -> None:
            decode()
            for ticket in tickets:
                engine.cancel(ticket)
            engine.step()

        return job

    return prepare


def adapters(home: Path, repeats: int) -> list[Row]:
    """A decode step with adapters on, over one of the base; and intrinsics on one context, over one."""
    model = make_model(home / "27M-adapters", "27M")
    names = "abcdef"
    engine = Engine.load(model, {name: make_adapter(home / f"27M-{name}", model, i) for i, name in enumerate(names)})
    found = []
    for rows in (1, 8):
        prompts = [Run(tokens(seed, 64)) for seed in range(rows)]
        base = [Request([prompt], ignore_eos=True) for prompt in prompts]
        own = [Request([prompt, Run(INVOCATION, names[i % 3])], ignore_eos=True) for i, prompt in enumerate(prompts)]
        times = side_by_side({"adapter": steps(engine, own, 20), "base": steps(engine, base, 20)}, repeats)
        label = f"decode step with adapters on / base, {rows} row{'s' * (rows > 1)}"
        found.append(at_most(label, 1.10, times["adapter"], times["base"], ("20 with", "20 without")))
    context = Run(tokens(1, 1024))
    for length, target in ((4, 2.0), (1, 1.3)):
        calls = [Request([context, Run(tuple(range(20, 20 + length)), name)], choices=((1,), (2,))) for name in names]
        times = side_by_side(
            {"six": warm(engine, context, calls), "one": warm(engine, context, calls[:1])}, 4 * repeats
        )
        label = f"6 one-token intrinsics / 1, invocation of {length} token{'s' * (length > 1)}, cached context of 1,024"
        found.append(at_most(label, target, times["six"], times["one"], ("six", "one")))
    return found


def warm(engine: Engine, context: Run, requests: Sequence[Request]) -> Prepared:
    """With nothing cached but the context."""

    def prepare() -> Job:
        engine.forget()
        engine.generate([Request([context], choices=((1,), (2,)))])
        return lambda: engine.generate(requests)

    return prepare


class Watch:
    """Sums the seconds spent in functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def over(self, function: Callable[..., object]) -> Callable[..., object]:
        """The same function, timed."""

        def call(*arguments: object) -> object:
            began = perf_counter()
            result = function(*arguments)
            self.seconds += perf_counter() - began
            return result

        return call


def bookkeeping(home: Path, repeats: int) -> Row:
    """What a decode step of 16 rows takes beside the forward pass, the logits and their maxima; the look at whether all
    numbers are finite, which is work on tensors too, is told apart."""
    engine = Engine.load(make_model(home / "1M-book", "1M"))
    tensors, look = Watch(), Watch()
    for name in ("rows", "logits", "best"):
        setattr(engine.model, name, tensors.over(getattr(engine.model, name)))
    shared = Run(tokens(0, 100, "1M"))
    requests = [Request([shared, Run((seed,))], max_tokens=120, ignore_eos=True) for seed in range(16)]
    found, looked = [], []
    with patch("alora_runtime.workspace.finite", look.over(finite)):
        for _ in range(repeats):
            tickets = [engine.submit(request) for request in requests]
            engine.step()
            tensors.seconds = look.seconds = 0.0
            began = perf_counter()
            for _ in range(100):
                engine.step()
            found.append((perf_counter() - began - tensors.seconds - look.seconds) / 100)
            looked.append(look.seconds / 100)
            for ticket in tickets:
                engine.cancel(ticket)
            engine.step()
            engine.forget()
    own, details = Times(tuple(found)), f"and to look whether its numbers are finite {Times(tuple(looked))}"
    return Row("scheduler and bookkeeping, a step of 16 rows", "≤ 100 µs", str(own), details, own.middle <= 1e-4)


def memory_per_run() -> Row:
    """Bytes of bookkeeping for each run that stays in the tree, tokens included (20 a run)."""
    scheduler = Scheduler(RunTree(1_000_000), chunk_tokens=10_000)
    tracemalloc.start()
    count = 2000
    for number in range(count):
        scheduler.add(Live(number, ((0, (*range(10), number)), (1, tuple(range(300, 309)))), 0))
        while scheduler.busy:
            plan = scheduler.plan()
            for live, _ in scheduler.commit(plan, [object() for _ in plan.keepers()]):
                live.generated.append(1)
                scheduler.finish(live)
    bytes_, runs = tracemalloc.get_traced_memory()[0], sum(1 for _ in scheduler.tree.nodes())
    tracemalloc.stop()
    return Row(
        "bookkeeping memory per run", "≤ 1 KiB", f"{bytes_ / runs:.0f} bytes", f"{runs} runs", bytes_ / runs <= 1024
    )
