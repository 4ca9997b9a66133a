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
