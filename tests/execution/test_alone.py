"""A run that is alone is not kept back for the sake of others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import alora_flow
from alora_runtime.schedule.pace import Pace

FLOW = """
model base = "mini"
flow main(q: str) -> str {
  return (generate(max_tokens: 2) on user(q)).text
}
"""
QUESTION = "Who is the mayor of Tarnok? " * 8


@pytest.mark.parametrize("alone", [True, False])
def test_a_lone_prompt_is_computed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool) -> None:
    """Two passes for two tokens; for a task, which may be cancelled at any moment, the prompt comes in pieces."""
    (tmp_path / "main.flow").write_text(FLOW)
    module, passes = alora_flow.load(tmp_path / "main.flow"), list[int]()
    module.main(q="?")
    engine: Any = module.runner.host.opened.engine  # type: ignore[attr-defined]
    counted = engine.model.rows
    monkeypatch.setattr(engine.model, "rows", lambda *given: passes.append(1) or counted(*given))
    monkeypatch.setattr(engine._work.scheduler, "pace", Pace(1.0, 1.0, 10**9))  # a token a step
    if alone:
        module.main(q=QUESTION)
    else:
        asyncio.run(_waited_for(module))
    assert (len(passes) == 2) == alone


async def _waited_for(module: alora_flow.Module) -> None:
    await module.main.arun(q=QUESTION)
