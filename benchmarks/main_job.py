"""How long the main job takes and what it needs: `python benchmarks/main_job.py`. Prints medians with their spread.

Rows: the bundled flow on a warm engine; the whole `alora-flow run` process; `alora-flow check` of the same file. The
peer of the first row is the same flow on the same engine without a prefix cache.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from statistics import median

import alora_flow
from alora_flow.backends.base import Backend
from alora_flow.backends.torch_engine import open_engine
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.setup import Setup

FLOW = Path(str(files("alora_flow.flows") / "safety_rag.flow"))
REPEATS = 9


def seconds(job: Callable[[], object]) -> list[float]:
    """Wall-clock seconds of several runs of one job."""
    found = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        job()
        found.append(time.perf_counter() - began)
    return found


def without_cache(setup: Setup) -> Backend:
    """The engine with its do-nothing cache."""
    return open_engine(setup, cache_tokens=32768, reuse=False)


def command(*arguments: str) -> None:
    """One `alora-flow` process, from start to end."""
    subprocess.run([sys.executable, "-m", "alora_flow.cli.main", *arguments], check=True, capture_output=True)


def row(name: str, times: list[float]) -> str:
    return f"{name:<44}{median(times) * 1000:>9.1f} ms   {min(times) * 1000:.1f} … {max(times) * 1000:.1f}"


def main() -> None:
    """Warm rows first ask a new question each time, so that no run finds the last one's tokens in the cache."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    cached, uncached = alora_flow.load(FLOW), Module(Compilation(FLOW), without_cache)
    names = iter(f"Who is the mayor of Tarnok{'?' * n}" for n in range(1, 10_000))
    for module in (cached, uncached):
        module.safety_rag()
    warm = seconds(lambda: cached.safety_rag(question=next(names)))
    cold = seconds(lambda: uncached.safety_rag(question=next(names)))
    print(f"{'median of ' + str(REPEATS):<44}{'':>12}   least … most")
    print(row("safety_rag, warm engine", warm))
    print(row("safety_rag, warm engine, no prefix cache", cold))
    print(f"{'ratio':<44}{median(cold) / median(warm):>9.2f} x")
    print(row("alora-flow check safety_rag.flow (process)", seconds(partial(command, "check", str(FLOW)))))
    print(row("alora-flow run safety_rag.flow (process)", seconds(partial(command, "run", str(FLOW)))))
    print(f"{'largest process, peak memory':<44}{_peak_mib():>9.0f} MiB")


def _peak_mib() -> float:
    """Of the child processes, so that this one's two engines do not count (ru_maxrss is in KiB on Linux)."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


if __name__ == "__main__":
    main()
