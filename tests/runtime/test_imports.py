"""Whoever plans does not pay for torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = (
    "alora_runtime",
    "alora_runtime.adapters.config",
    "alora_runtime.answer.choices",
    "alora_runtime.answer.constraints",
    "alora_runtime.errors",
    "alora_runtime.requests",
    "alora_runtime.schedule.scheduler",
    "alora_runtime.compute.support",
    "alora_runtime.gguf.opening",
    "alora_runtime.cache.tree",
    "alora_runtime.calls.checking",
    "alora_runtime.calls.stack",
    "alora_runtime.validation",
)


def test_no_torch() -> None:
    code = f"import sys, {', '.join(MODULES)}; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_names() -> None:
    import alora_runtime

    assert [getattr(alora_runtime, name).__name__ for name in alora_runtime.__all__] == alora_runtime.__all__
    assert dir(alora_runtime) == alora_runtime.__all__
    with pytest.raises(AttributeError, match="Enigne"):
        _ = alora_runtime.Enigne
