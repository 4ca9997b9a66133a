"""Whoever plans does not pay for torch."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "alora_runtime",
        "alora_runtime.adapters.config",
        "alora_runtime.answer.choices",
        "alora_runtime.answer.constraints",
        "alora_runtime.errors",
        "alora_runtime.requests",
        "alora_runtime.schedule.scheduler",
        "alora_runtime.compute.support",
        "alora_runtime.cache.tree",
        "alora_runtime.validation",
    ],
)
def test_no_torch(module: str) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names() -> None:
    import alora_runtime

    assert [getattr(alora_runtime, name).__name__ for name in alora_runtime.__all__] == alora_runtime.__all__
    assert dir(alora_runtime) == alora_runtime.__all__
    with pytest.raises(AttributeError, match="Enigne"):
        _ = alora_runtime.Enigne
