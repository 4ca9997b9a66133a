"""The cache is far too small for all that could begin at once, and still next to nothing is computed twice.

What a finished element shares by chance with one that begins later (a first word, for instance) may have been evicted.
The ledger does not know that, so such a run says "at most".
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import alora_flow
from alora_flow.errors import RunFailed
from tests.execution.forced import forced
from tests.execution.test_any_cache import WORDS

CHAINED = """model base = "mini"

flow chained(texts: list[str]) -> list[str] {
  let answers = for text in texts limit 32 {
    let a = generate(max_tokens: 4) on user("{text}")
    let b = generate(max_tokens: 4) on (a.thread + user("two"))
    let c = generate(max_tokens: 4) on (b.thread + user("three"))
    keep a.text + b.text + c.text
  }
  return answers
}

flow fanned(texts: list[str]) -> list[str] {
  let answers = for text in texts limit 32 {
    let t = user("{text}")
    let a = generate(max_tokens: 4) on (t + user("one"))
    let b = generate(max_tokens: 4) on (t + user("two {a.text}"))
    keep b.text
  }
  return answers
}

flow failing(texts: list[str]) -> list[str] {
  let answers = for text in texts limit 32 {
    let a = generate(max_tokens: 4) on user("{text}")
    let b = generate(max_tokens: 4) on (a.thread + user("two"))
    require len(b.text + text) < 600 else "too long"
    keep b.text
  }
  return answers
}
"""
TEXTS = [" ".join(random.Random(number).choices(["mayor", "river", "house", "tree"], k=60)) for number in range(16)]


@pytest.mark.parametrize("flow", ["chained", "fanned"])
def test_elements_come_to_their_end_before_others_begin(tmp_path: Path, flow: str) -> None:
    file = tmp_path / "crowded.flow"
    file.write_text(CHAINED)
    wide = alora_flow.load(file, share=False).flow(flow)(texts=TEXTS)
    narrow = alora_flow.load(file, cache_tokens=1200).flow(flow)(texts=TEXTS)
    assert narrow.value == wide.value
    calls = [call for node in narrow.trace.nodes for call in node.calls]
    size = sum(call.actual.prefilled + call.actual.reused for call in calls if call.actual)
    assert size > 3 * 1200
    once = sum(call.actual.prefilled for node in wide.trace.nodes for call in node.calls if call.actual)
    again = sum(call.actual.prefilled for call in calls if call.actual) - once
    assert 0 <= again <= once / 50
    assert narrow.trace.kept_promise


def test_a_run_that_fails_in_a_crowd_holds_nobody_back(tmp_path: Path) -> None:
    file = tmp_path / "crowded.flow"
    file.write_text(CHAINED)
    module = alora_flow.load(file, cache_tokens=1200)
    with pytest.raises(RunFailed, match="too long"):
        module.failing(texts=[*TEXTS[:3], "house " * 120, *TEXTS[3:]])
    assert not module.backend.busy
    assert module.chained(texts=TEXTS).value == alora_flow.load(file, share=False).chained(texts=TEXTS).value
    assert module.conductor.ledger.held == module.conductor.shared.crowd.tails == 0


GIVEN_UP = """model base = "mini"
intrinsic certainty() -> float { adapter "uncertainty" emits int[0..9] value expected(10 * it + 5) / 100 }
intrinsic safety() -> bool { adapter "safety" emits enum("Y", "N") value it == "Y" }

flow given_up(text: str, most: int) -> int {
  thread ask = system("You answer.") + user("{text}")
  let first = generate(max_tokens: 13, temperature: 0.9, seed: 3) on ask may invoke [certainty, safety] budget 3 {
    on certainty => drop on safety => stop
  }
  let some = generate(n: 3, max_tokens: 3, temperature: 0.8, seed: 0) on user("go on")
  thread onward = first.thread + user("house Tarnok mayor house Tarnok Tarnok fish river sells the Tarnok of")
  let long = if len(first.text) > 7 { len((generate(max_tokens: 1) on onward).text) } else { 3 }
  let tries = repeat (asked = ask, n = 1) up to 2 {
    let safe = safety() on asked
    let more = generate(max_tokens: 3) on asked
    accept len(more.text) when len(more.text) % 3 == 2
    next asked = more.thread + user("more"), n = n + 1
  } else { accept 1 }
  let others = generate(n: 3, max_tokens: 3, temperature: 0.8, seed: 1) on first.thread
  let total = len(first.text) + len(some[2].text) + long + tries + len(others[2].text)
  require total < most else "too much"
  return total
}
"""


def test_a_call_waits_for_room_for_what_was_given_up_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "crowded.flow"
    file.write_text(GIVEN_UP)
    pick = random.Random(68)
    texts = [" ".join(pick.choices(WORDS, k=pick.choice((2, 20, 60)))) for _ in range(6)]
    rows = [{"text": pick.choice(texts), "most": pick.choice((0, 10**6, 10**6))} for _ in range(6)]
    parts = [1, "<|uncertainty|>", 3, "<|safety|>"]
    wide = forced(file, *parts).given_up.map(rows, return_exceptions=True)
    calls = [call.actual for result in wide for call in result.trace.calls if call.actual]
    longest = max(actual.reused + actual.prefilled for actual in calls)
    module = forced(file, *parts, cache_tokens=longest + 20)
    for result in module.given_up.map(rows, return_exceptions=True):
        assert result.trace.kept_promise
    assert module.backend.engine.stats.evicted_retained == 0
