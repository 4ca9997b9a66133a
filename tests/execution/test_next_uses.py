"""The hints that a flow gives the engine: what they say, and that a small cache computes less again with them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from alora_flow.backends.base import Backend, ModelCall
from alora_flow.backends.echo import Echo
from alora_flow.backends.torch_engine import TorchEngine, open_engine
from alora_flow.execution.hints import Hints
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.setup import Setup
from alora_flow.values.plain import plain
from alora_runtime import Engine
from alora_runtime.schedule.retention import Retention
from alora_runtime.validation import uses_of
from tests.execution.test_promise import approximately
from tests.tiny import write_model_folder

CHECKS = """
model base = "mini"
intrinsic safety() -> prob[bool] from "safety"
intrinsic certainty() -> float[0.0..1.0] from "uncertainty"
tool look(q: str) -> list[document] = python "looking:look"

flow checks(question: str = "Who is the mayor of Tarnok?") -> float {
  thread ask = system("You answer from the documents only.") + user(question)
  let safe = safety() on ask
  let reply = generate(max_tokens: 8) on (ask + documents(look("{safe.p(true)}")))
  if reply.text == "" { return 0.0 }
  let sure = certainty() on reply
  let sure_again = certainty() on reply
  let more = generate(max_tokens: 4) on (ask + user("{sure} {sure_again}"))
  return sure
}
"""

TOOL = 'def look(q): return [{"title": "Tarnok", "text": "The mayor of Tarnok is Orla Venn."}]\n'

BACK = """
model base = "mini"

## A long thread is left, others are written on, and in the end it is gone on from.
flow back(question: str = "Who is the mayor of Tarnok?") -> list[str] {
  thread long = system("LONG") + user(question)
  let first = generate(max_tokens: 4) on long
  let one = generate(max_tokens: 4) on user("one LONG {first.text}")
  let two = generate(max_tokens: 4) on user("two LONG {one.text}")
  let three = generate(max_tokens: 4) on user("three LONG {two.text}")
  let last = generate(max_tokens: 4) on (long + user("{three.text}"))
  return [first.text, one.text, two.text, three.text, last.text]
}
""".replace("LONG", "Tarnok exports fish and salt . " * 12)


class Noting:
    """An engine that keeps the requests it is given."""

    def __init__(self, engine: Backend) -> None:
        self.engine, self.requests = engine, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def submit(self, call: ModelCall) -> int:
        self.requests.append(call.request)
        return self.engine.submit(call)


def test_what_the_hints_say(tmp_path: Path) -> None:
    """A thread is needed again so many calls later, a check's branch by an equal check or never, the last reply perhaps
    by the next run."""
    (tmp_path / "checks.flow").write_text(CHECKS)
    (tmp_path / "looking.py").write_text(TOOL)
    noted: list[Noting] = []

    def open_noting(setup: Setup) -> Backend:
        noted.append(Noting(open_engine(setup)))
        return noted[-1]

    Module(Compilation(tmp_path / "checks.flow"), open_noting).flows["checks"].run({})
    safety, reply, sure, sure_again, more = noted[0].requests
    ask = safety.prompt_length - 1  # the invocation is one token
    assert safety.next_use == [(ask, 1), (None, 0)]
    assert reply.next_use == [(None, 1)]
    written = sure.prompt_length - 1
    assert sure.next_use == [(None, 1)]
    assert sure_again.next_use == [(ask, 1), (written, None), (None, 0)]
    assert more.next_use == [(None, None)]


def test_turns_without_tokens(tmp_path: Path) -> None:
    """A template may write nothing around a turn, and a turn may say nothing: no hint is wrong in itself for that."""
    write_model_folder(tmp_path / "bare", "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    (tmp_path / "bare.flow").write_text(
        """
        model base = "./bare"
        flow bare(first: str = "", second: str = "") -> str {
          thread one = system(first)
          thread two = one + user(second)
          let a = generate(max_tokens: 2) on (two + user("x"))
          let b = generate(max_tokens: 2) on (two + user("y {a.text}"))
          let c = generate(max_tokens: 2) on (one + user("z {b.text}"))
          return c.text
        }
        """
    )
    noted: list[Noting] = []

    def open_noting(setup: Setup) -> Backend:
        noted.append(Noting(Echo(setup.prompter.tokenizer, 0)))
        return noted[-1]

    flow = Module(Compilation(tmp_path / "bare.flow"), open_noting).flows["bare"]
    for given in ({}, {"first": "a"}, {"second": "b"}, {"first": "a", "second": "b"}):
        flow.run(given)
    assert [uses_of(request)[0] for request in noted[0].requests[-3:]][:2] == [(2, 1), (1, 1)]
    assert all(uses_of(request) for request in noted[0].requests)


def run_back(tmp_path: Path, cache_tokens: int) -> tuple[Any, Engine]:
    """The flow on an arena of that size, from an empty cache; its value and its engine."""
    (tmp_path / "back.flow").write_text(BACK)
    module = Module(Compilation(tmp_path / "back.flow"), partial(open_engine, cache_tokens=cache_tokens))
    value = plain(module.flows["back"].run({}).value)
    assert isinstance(module.backend, TorchEngine)
    module.backend.engine.check()
    return value, module.backend.engine


def test_a_small_cache_computes_less_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The long thread stays where the least recently used would be dropped just before it is needed: since it is
    retained, or since a hint says when it is."""
    wide, unbounded = run_back(tmp_path, 4096)
    longest = max(1, unbounded.stats.prefilled // 4)
    tight, hinted = run_back(tmp_path, 3 * longest)

    def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(Retention, "add", nothing)
    foretold, unretained = run_back(tmp_path, 3 * longest)
    monkeypatch.setattr(Hints, "of", nothing)
    blind, unhinted = run_back(tmp_path, 3 * longest)
    assert tight == foretold == blind == approximately(wide)
    assert unhinted.stats.evicted
    assert hinted.stats.evicted
    assert hinted.stats.prefilled == unretained.stats.prefilled == unbounded.stats.prefilled
    assert unhinted.stats.prefilled > hinted.stats.prefilled + longest // 2


SHARED = """
model base = "mini"
flow shared(q: str) -> str {
  thread start = system("You answer from the documents only.")
  let a = generate(max_tokens: 2) on (start + user(q))
  let b = generate(max_tokens: 2) on (start + user("and {a.text}"))
  return b.text
}
"""


def test_hints_count_the_calls_of_all_runs_side_by_side(tmp_path: Path) -> None:
    """Runs take turns: what three of them share is read again as long as any of them has a call to come."""
    (tmp_path / "shared.flow").write_text(SHARED)
    noted: list[Noting] = []

    def open_noting(setup: Setup) -> Backend:
        noted.append(Noting(open_engine(setup)))
        return noted[-1]

    flow = Module(Compilation(tmp_path / "shared.flow"), open_noting).flows["shared"]
    flow.run({"q": "alone"})
    alone = noted[0].requests[0].next_use
    flow.map({"q": f"question {number}"} for number in range(3))
    together = [request.next_use for request in noted[0].requests[2:]]
    start = alone[0][0]
    assert alone == [(start, 1), (None, None)]
    # Three first calls, then three second ones: while all runs have calls to come, each round is three calls.
    assert [uses and uses[0] for uses in together] == [
        (start, 3),
        (start, 3),
        (start, 3),
        (start, 2),
        (start, 1),
        (None, None),
    ]
