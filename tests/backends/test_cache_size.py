"""How large the cache is, by default and by wish."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

import alora_flow
from alora_flow.backends.table import Opener
from alora_flow.backends.torch_engine import CACHE_SHARE, CACHE_TOKENS, TorchEngine
from alora_flow.errors import BadUsage
from tests.command import warm

FLOW = """model base = "mini"

flow greet(name: str = "Ada") -> str {
  let r = generate(max_tokens: 2) on user("{name}")
  return r.text
}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "greet.flow"
    path.write_text(FLOW)
    return path


def test_by_default_it_is_of_the_machine_and_by_wish_as_wished(file: Path) -> None:
    backend = alora_flow.load(file).backend
    assert isinstance(backend, TorchEngine)
    assert 4096 < backend.cache_tokens <= CACHE_TOKENS
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert backend.cache_tokens * backend.engine.model.slot_bytes <= memory / CACHE_SHARE
    assert alora_flow.load(file, cache_tokens=300).backend.cache_tokens == 300
    assert pickle.loads(pickle.dumps(Opener("torch", 300))).cache_tokens == 300


def test_who_has_no_such_size_says_so(file: Path) -> None:
    with pytest.raises(BadUsage, match="has no cache whose size can be set"):
        alora_flow.load(file, backend="echo", cache_tokens=300)
    with pytest.raises(BadUsage, match="makes its own cache"):
        alora_flow.load(file, backend=Opener("echo"), cache_tokens=300)
    with pytest.raises(BadUsage, match="at least 1"):
        _ = alora_flow.load(file, cache_tokens=0).backend


def test_on_the_command_line(file: Path) -> None:
    assert warm("run", str(file), "--cache-tokens", "200").code == 0
    small = warm("run", str(file), "--cache-tokens", "3")
    assert small.code == 3
    assert "the arena has 3" in small.stderr
    assert warm("run", str(file), "--cache-tokens", "0").code == 2
    assert warm("run", str(file), "--echo", "--cache-tokens", "9").code == 2
