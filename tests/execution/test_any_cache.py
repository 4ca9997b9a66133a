"""The promise is kept by generated flows in caches from the least that holds their longest call up to more than they
need, by one run or several side by side, whether some of these fail or not."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

import alora_flow
from alora_flow.errors import FlowError
from alora_flow.execution.trace import Trace

FLOWS = int(os.environ.get("ALORA_FLOW_GENERATED", "12"))
WORDS = ["the", "mayor", "of", "Tarnok", "sells", "fish", "and", "salt", "near", "a", "river", "house"]


class Writer:
    """Writes a flow: threads that branch, replies that are gone on from, checks, loops, guards, and failures."""

    def __init__(self, pick: random.Random) -> None:
        self.pick, self.lines, self.count = pick, list[str](), 0

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def text(self) -> str:
        return " ".join(self.pick.choices(WORDS, k=self.pick.choice((1, 3, 12, 40))))

    def body(self, threads: list[str], numbers: list[str], depth: int, pad: str) -> None:
        """Statements that use and make threads and numbers."""
        for _ in range(self.pick.randint(1, 4)):
            kind = self.pick.choice(("thread", "reply", "typed", "check", "check", "loop", "guard"))
            thread = self.pick.choice(threads)
            if kind == "thread":
                threads.append(self.name("t"))
                self.lines.append(f'{pad}thread {threads[-1]} = {thread} + user("{self.text()}")')
            elif kind == "reply":
                reply = self.name("r")
                self.lines.append(f"{pad}let {reply} = generate(max_tokens: {self.pick.randint(1, 6)}) on {thread}")
                threads.append(f"{reply}.thread")
                numbers.append(f"len({reply}.text)")
            elif kind == "typed":
                numbers.append(self.name("n"))
                self.lines.append(f"{pad}let {numbers[-1]} = generate() as int[0..9] on {thread}")
            elif kind == "check":
                check = self.name("c")
                self.lines.append(f"{pad}let {check} = safety() on {thread}")
                numbers.append(f"(if {check}.p(true) > 0.5 {{ 1 }} else {{ 0 }})")
            elif kind == "loop" and depth < 2:
                loop, item = self.name("l"), self.name("i")
                self.lines.append(f"{pad}let {loop} = for {item} in texts limit 6 {{")
                self.lines.append(f'{pad}  thread {item}_t = {thread} + user("{{{item}}} {self.text()}")')
                inner, own = [*threads, f"{item}_t"], [*numbers]
                self.body(inner, own, depth + 1, f"{pad}  ")
                self.lines.append(f"{pad}  keep {own[-1] if own else 0}")
                self.lines.append(f"{pad}}}")
                numbers.append(f"sum({loop})")
            elif kind == "guard" and numbers and depth == 0:
                self.lines.append(
                    f"{pad}if {self.pick.choice(numbers)} + len(texts[0]) > {self.pick.randint(0, 400)} {{ return 0 }}"
                )

    def flow(self) -> str:
        threads, numbers = ['user("go on")', "ask"], list[str]()
        self.body(threads, numbers, 0, "  ")
        self.body(threads, numbers, 0, "  ")
        total = " + ".join(numbers) or "0"
        return (
            'model base = "mini"\nintrinsic safety() -> prob[bool] from "safety"\n\n'
            "flow generated(texts: list[str], most: int) -> int {\n"
            '  thread ask = system("You answer.") + user("{texts[0]}")\n'
            + "\n".join(self.lines)
            + f'\n  require {total} < most else "too much"\n  return {total}\n}}\n'
        )


def rows(pick: random.Random) -> list[dict[str, Any]]:
    """Inputs; with a small `most`, a run fails as soon as it may."""
    texts = [" ".join(pick.choices(WORDS, k=pick.choice((2, 20, 60)))) for _ in range(6)]
    return [{"texts": pick.sample(texts, pick.randint(1, 5)), "most": pick.choice((0, 10**6, 10**6))} for _ in range(8)]


@pytest.mark.parametrize("seed", range(FLOWS))
def test_generated_flows_keep_their_promise_in_any_cache(tmp_path: Path, seed: int) -> None:
    pick = random.Random(seed)
    file = tmp_path / "generated.flow"
    file.write_text(Writer(pick).flow())
    given = rows(pick)
    wide = outcomes(alora_flow.load(file), given, together=False)
    longest = max(call.actual.reused + call.actual.prefilled for t in traces(wide) for call in t.calls if call.actual)
    for factor in (1.0, 1.5, 4.0, 12.0):
        module = alora_flow.load(file, cache_tokens=int(longest * factor) + 8)
        for together in (False, True):
            found = outcomes(module, given, together)
            assert [value for value, _ in found] == [value for value, _ in wide]
            for trace in traces(found):
                broken = [call for call in trace.calls if call.actual and not call.predicted.kept(call.actual)]
                assert not broken, (factor, together, len(trace.calls), broken)
        assert module.backend.engine.stats.evicted_retained == 0


def traces(found: list[tuple[Any, Trace]]) -> list[Trace]:
    return [trace for _, trace in found]


def outcomes(module: Any, given: list[dict[str, Any]], together: bool) -> list[tuple[Any, Trace]]:
    """Value or message, and trace, of each row."""
    made: list[tuple[Any, Trace]] = []
    results = module.generated.map(given, return_exceptions=True) if together else map(alone(module), given)
    for result in results:
        failed = isinstance(result, FlowError)
        made.append((str(result) if failed else result.value, result.trace))
    return made


def alone(module: Any) -> Any:
    def run(row: dict[str, Any]) -> Any:
        try:
            return module.generated(**row)
        except FlowError as error:
            return error

    return run
