"""How long the front end takes: a generated file of 1,000 lines, the start of `alora-flow check`, its own tests.

python benchmarks/frontend.py [--lines 1000] [--rounds 9]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from alora_flow.language import Source, check, format_source
from alora_flow.language.syntax.parser import parse

ROOT = Path(__file__).parents[1]
HEAD = """\
enum Stage { input, retrieval, output }
record Answer { text: str, certainty: float[0.0..1.0] = 0.5 }
record Refusal { reason: str, stage: Stage }
intrinsic safety() -> bool { adapter "safety" emits enum("Y", "N") value it == "Y" }
intrinsic wrong() -> prob[bool] from "hallucination"
tool search(q: str, k: int = 3) -> list[document] = python "kb:search" with (pure: true)
"""
FLOW = """
## Answers question {number} from documents.
flow answer_{number}(question: str, history: chat = []) -> Answer | Refusal {{
  thread ask = system("You answer from the documents only, in {number} words.") + history + user(question)
  if not safety() on ask {{ return Refusal(reason: "unsafe: {{question}}", stage: input) }}
  let found = search(question, k: {number} + 1)
  require len(found) > 0 else "nothing about {{question}}"
  let notes = for d in found limit 8 {{
    let note = generate(max_tokens: 32) on (ask + documents([d]))
    keep note.text when (wrong() on note).p(true) < 0.5
  }}
  let reply = repeat (th = ask + documents(found)) up to 3 {{
    let draft = generate(max_tokens: 128, temperature: 0.2) on th
    accept draft when not (wrong() on draft).top
    next th = draft.thread + user("Say only what the documents say: {{join(notes, "; ")}}")
  }} else {{
    return Refusal(reason: "not supported by the documents", stage: output)
  }}
  return Answer(text: reply.text)
}}
"""


def program(lines: int) -> str:
    flows = (lines - HEAD.count("\n")) // FLOW.count("\n")
    return HEAD + "".join(FLOW.format(number=number) for number in range(flows))


def measured(work: Callable[[], object], rounds: int) -> str:
    """Median and spread in milliseconds, after one round to warm up."""
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return f"{statistics.median(times):7.1f} ms   ({min(times):.1f} to {max(times):.1f}, {rounds} rounds)"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--lines", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    text = program(given.lines)
    checked, found = check(text)
    assert checked is not None, found[:3]
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.flow"
        small.write_text(HEAD + FLOW.format(number=0))
        start = [sys.executable, "-m", "alora_flow.cli.main", "check", str(small)]
        print(f"{text.count(chr(10))} lines, {len(checked.flows)} flows")
        print("parse            ", measured(lambda: parse(Source("", text)), given.rounds))
        print("check            ", measured(lambda: check(text), given.rounds))
        print("format           ", measured(lambda: format_source(text), given.rounds))
        run = lambda: subprocess.run(start, check=True, capture_output=True)  # noqa: E731
        print("check, as command", measured(run, given.rounds))
    suite = [sys.executable, "-m", "pytest", "-q", "tests/language"]
    with_bytecode = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run = lambda: subprocess.run(suite, check=True, capture_output=True, cwd=ROOT, env=with_bytecode)  # noqa: E731
    print("its test suite   ", measured(run, 3))


if __name__ == "__main__":
    main()
