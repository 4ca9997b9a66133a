"""What goes from a flow to a backend: calls on one thread share it as one object, at any length."""

from __future__ import annotations

from pathlib import Path

import alora_flow
from alora_flow.backends.base import ModelCall
from alora_flow.backends.echo import Echo, open_echo
from alora_flow.planning.setup import Setup
from alora_runtime.requests import Run

FLOW = """model base = "mini"
intrinsic safety() -> prob[bool] from "safety"

flow main(q: str) -> str {
  thread t = user(q)
  let a = safety() on t
  let b = safety() on t
  let c = generate(max_tokens: 4, seed: 1) on t
  let d = generate(max_tokens: 4, seed: 2) on t
  return "{a.p(true)} {b.p(true)} {c.text} {d.text}"
}
"""


def test_calls_on_one_thread_share_its_tokens(tmp_path: Path) -> None:
    taken: dict[str, tuple[Run, ...]] = {}

    class Watched(Echo):
        def submit(self, call: ModelCall) -> int:
            taken[call.node] = tuple(call.request.runs)
            return super().submit(call)

    def opened(setup: Setup) -> Watched:
        echo = open_echo(setup)
        return Watched(echo._tokenizer, echo._stop)

    (tmp_path / "main.flow").write_text(FLOW)
    with alora_flow.load(tmp_path / "main.flow", backend=opened) as module:
        module.main(q="why? " * 100)
    a, b, c, d = (taken[name] for name in "abcd")
    assert len(a) == len(b) == 2
    assert a[0] is b[0]
    assert c[0] is d[0]
    assert a[0].tokens == c[0].tokens[: len(a[0].tokens)]
