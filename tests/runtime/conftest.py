"""Checkpoints made once a session; engines made by tests."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads starve whatever else runs on the machine

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from alora_runtime import Engine
from tests.runtime.checkpoints import Oracle, make_adapter, make_checkpoint

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)  # workers share two cores

INVOCATION = (257, 40, 258)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with grouped queries, tied embeddings and a padded vocabulary."""
    return make_checkpoint(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Activated ones of different ranks and targets, and a plain LoRA."""
    home = tmp_path_factory.mktemp("adapters")
    tokens = {"alora_invocation_tokens": list(INVOCATION)}
    return {
        "one": make_adapter(home / "one", base, 1, **tokens),
        "wide": make_adapter(
            home / "wide",
            base,
            2,
            r=7,
            target_modules="all-linear",
            use_rslora=True,
            alpha_pattern={"down_proj": 3},
            rank_pattern={"up_proj": 2},
            **tokens,
        ),
        "plain": make_adapter(home / "plain", base, 3, r=2, target_modules=["q_proj", "o_proj"]),
    }


@pytest.fixture(scope="session")
def oracle(base: Path, adapters: dict[str, Path]) -> Oracle:
    """Full forward passes on the same weights."""
    return Oracle(base, adapters)


@pytest.fixture(scope="session")
def processor(request: pytest.FixtureRequest) -> str:
    """What engines compute with. `make test` runs all tests of this folder with each (`pytest --processor plain`)."""
    return str(request.config.getoption("--processor"))


@pytest.fixture(scope="session")
def make_engine(base: Path, adapters: dict[str, Path], processor: str) -> Callable[..., Engine]:
    """Engines with all adapters; settings as in Engine.load."""

    def make(**settings: object) -> Engine:
        return Engine.load(base, adapters, **{"cache_tokens": 2048, "processor": processor, **settings})  # type: ignore[arg-type]

    return make


@pytest.fixture
def engine(make_engine: Callable[..., Engine]) -> Engine:
    """One with an empty cache."""
    return make_engine()
