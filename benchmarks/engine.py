"""How fast the engine is, next to its peers: `python -m benchmarks.engine [--repeats N] [PART ...]`.

Prints Markdown tables of medians with their extremes. Peers run in the same process and take turns with the engine.
"""

from __future__ import annotations

import os

# As the engine does, but before torch comes in with a peer: peers get the same.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import argparse
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import TypeAlias

import torch
import transformers
from transformers.utils import logging

from benchmarks import engine_figures as figures
from benchmarks import engine_flow as flow
from benchmarks import engine_growth as growing
from benchmarks.engine_timing import Row, table

Part: TypeAlias = Callable[[Path, int], list[Row]]

PARTS: dict[str, Part] = {
    "counters": lambda home, repeats: [figures.prefilled(home)],
    "decode": lambda home, repeats: [
        figures.decoding(home, "1M", 1, 2.0, repeats),
        figures.decoding(home, "10M", 1, 2.0, repeats),
    ],
    "batch": lambda home, repeats: [figures.decoding(home, "135M", 8, 1.4, repeats, count=24)],
    "adapters": figures.adapters,
    "bookkeeping": lambda home, repeats: [figures.bookkeeping(home, repeats), figures.memory_per_run()],
    "attention": lambda home, repeats: [growing.shared_prefix(repeats)],
    "flow": flow.rows,
    "growth": growing.growth,
}


def main() -> None:
    """Each part in a folder of its own, so that its models are gone when it is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--llama-server", metavar="BINARY", default=os.environ.get("ALORA_LLAMA_SERVER"))
    options = parser.parse_args()
    if options.llama_server and not which(options.llama_server):
        parser.error(
            f"--llama-server: {options.llama_server} is not a program; docs/performance.md says how to build it"
        )
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(options.threads)
    parts: dict[str, Part] = {**PARTS, "flow": partial(flow.rows, llama_server=options.llama_server)}
    rows = []
    for name in options.parts or parts:
        with TemporaryDirectory() as home:
            rows += parts[name](Path(home), options.repeats)
    print(table(rows))
    print(
        f"\n{platform.processor() or platform.machine()}, {options.threads} threads, torch {torch.__version__}, "
        f"transformers {transformers.__version__}, medians of {options.repeats} (least … most)"
    )


if __name__ == "__main__":
    main()
