"""What growth costs in processor time: `python -m benchmarks.growth`.

Flows run on the bundled model, the engine on a random one of a million parameters. Each figure is the least of several:
others' work on the machine only ever adds to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, NamedTuple

import torch

import alora_flow
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.prefix.plan import plan
from alora_runtime import Engine, Request, Run
from alora_runtime.errors import EngineError
from benchmarks.engine_figures import tokens
from benchmarks.engine_models import INVOCATION, make_adapter, make_model

REPEATS = 3


class Figure(NamedTuple):
    """`seconds` of processor time; `most`: what they should be at most, where that is said."""

    name: str
    seconds: float
    most: float | None = None


def least(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Seconds of processor time."""
    found = []
    for _ in range(REPEATS):
        before()
        began = process_time()
        work()
        found.append(process_time() - began)
    return min(found)


HEAD = 'model base = "mini"\nintrinsic safety() -> prob[bool] from "safety"\n'

CHAIN = "\n".join(
    f'let t{i} = {f"r{i - 1}.thread + " if i else ""}user("go on {i}")\nlet r{i} = generate(max_tokens: 4) on t{i}'
    for i in range(1000)
)
FAN = """let found = for t in texts limit 3300 {
  let r = generate(max_tokens: 4) on (system("You answer.") + user(t))
  keep r.text
}
return found"""
RETURNS = "\n".join(
    f'let r{i} = generate(max_tokens: 4) on user("go {i}")\nif r{i}.text == "stop" {{ return "{i}" }}'
    for i in range(1000)
)
CHECKS = "\n".join(f"let s{i} = safety() on t" for i in range(64))

FLOWS = {
    "chain": f"flow main() -> str {{\n{CHAIN}\nreturn r999.text\n}}",
    "fan": f"flow main(texts: list[str]) -> list[str] {{\n{FAN}\n}}",
    "returns": f'flow main() -> str {{\n{RETURNS}\nreturn "end"\n}}',
    "checks": f"flow main(q: str) -> float {{\nthread t = user(q)\n{CHECKS}\nreturn s0.p(true)\n}}",
}


def written(folder: Path, name: str) -> Path:
    """The flow's file."""
    path = folder / f"{name}.flow"
    path.write_text(f"{HEAD}{FLOWS[name]}\n")
    return path


def planned(path: Path, **inputs: Any) -> tuple[float, float]:
    """Seconds to the graph of a checked file, and from there to the plan."""
    made = Compilation(path)
    flow = made.flow(None)
    made.plan(flow, inputs)
    graph = least(lambda: made.graph(flow), made.graphs.clear)
    return graph, least(lambda: plan(made.schedule(flow, inputs)))


def run(module: Module, **inputs: Any) -> float:
    """Seconds of a run whose prompts are cached."""
    flow = module.flow("main")
    flow(**inputs)
    return least(lambda: flow(**inputs))


def flows(folder: Path) -> Iterator[Figure]:
    graph, rest = planned(written(folder, "fan"), texts=[f"t {number}" for number in range(3300)])
    yield Figure("3,300 elements of a `for` (9,904 nodes): graph, schedule and plan", graph + rest, 0.5)
    graph, rest = planned(written(folder, "chain"))
    yield Figure("1,000 turns: schedule and plan", rest, 0.5)
    with alora_flow.load(folder / "chain.flow", backend="echo") as chain:
        yield Figure("1,000 turns: a run on echo", run(chain), 0.5)
    graph, rest = planned(written(folder, "returns"))
    yield Figure("1,000 guarded returns: graph, schedule and plan", graph + rest)
    with alora_flow.load(folder / "returns.flow", backend="echo") as returns:
        yield Figure("1,000 guarded returns: a run on echo", run(returns))
    checks = written(folder, "checks")
    with alora_flow.load(checks, backend="torch") as module:
        yield Figure(
            "64 checks on a cached thread of 900 tokens, torch backend", run(module, q="the mayor " * 440), 0.015
        )
    with alora_flow.load(checks, backend="echo") as module:
        yield Figure("the same on echo, which is bookkeeping alone", run(module, q="the mayor " * 440), 64 * 0.0003)
        yield Figure("the same on echo with 40,000 tokens", run(module, q="the mayor " * 20_000), 64 * 0.0003)


def engine(folder: Path) -> Iterator[Figure]:
    model = make_model(folder / "model", "1M")
    served = Engine.load(model, cache_tokens=20_000)
    short = [Request([Run(tokens(number, 8, "1M"))], max_tokens=1) for number in range(10_000)]

    tickets: list[int] = []

    def submitted() -> None:
        tickets.extend([served.submit(request) for request in short])

    def emptied() -> None:
        for ticket in tickets:
            served.cancel(ticket)
        tickets.clear()
        served.generate(short[:1])

    yield Figure("10,000 requests queued, each", least(submitted, emptied) / 10_000)
    emptied()
    fork = tokens(1, 8000, "1M")
    forks = [Request([Run((*fork, number))], max_tokens=1) for number in range(64)]
    served.generate(forks)

    def begun() -> None:
        served.generate(forks)

    yield Figure("64 forks of 8,000 cached tokens, a token for each", least(begun))
    names = [f"adapter{number}" for number in range(64)]
    for number, name in enumerate(names):
        served.add_adapter(name, make_adapter(folder / name, model, number))

    def adapted(count: int) -> float:
        requests = [Request([Run(fork[:64]), Run(INVOCATION, names[at % count])], max_tokens=1) for at in range(64)]
        return least(lambda: served.generate(requests), served.forget)

    yield Figure("64 requests under 1 adapter of rank 32", adapted(1))
    yield Figure("64 requests under 64 adapters of rank 32", adapted(64))
    long = tokens(2, 1_000_000, "1M")

    def refused() -> None:
        try:
            served.submit(Request([Run(long)], max_tokens=1))
        except EngineError:
            return
        raise AssertionError("a million tokens were taken")

    yield Figure("a prompt of 1,000,000 tokens refused", least(refused), 0.033)


def main() -> None:
    torch.set_num_threads(1)
    print("| figure | at most | processor time |\n|---|---|---|")
    with TemporaryDirectory() as folder:
        for part in (flows, engine):
            for name, seconds, most in part(Path(folder)):
                print(f"| {name} | {f'{most * 1e3:g} ms' if most else ''} | {seconds * 1e3:.3g} ms |", flush=True)


if __name__ == "__main__":
    main()
