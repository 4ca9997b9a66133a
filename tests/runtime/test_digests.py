"""Adapter weights are hashed once, whoever asks and in whatever process."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from alora_runtime.adapters.digests import cache_file, digest_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def reads_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The times that the file is read from now on."""
    seen: list[Path] = []
    read = Path.read_bytes

    def noting(file: Path) -> bytes:
        if file == path:
            seen.append(file)
        return read(file)

    monkeypatch.setattr(Path, "read_bytes", noting)
    return seen


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    reads = reads_of(file, monkeypatch)
    assert {digest_of(file) for _ in range(3)} == {sha256(b"abc").hexdigest()}
    assert len(reads) == 1


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    before = digest_of(file)
    file.write_bytes(b"abd")
    os.utime(file, ns=(1, 1))
    assert digest_of(file) == sha256(b"abd").hexdigest() != before


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b'{"x": 3}'])
def test_a_broken_cache_is_no_obstacle(tmp_path: Path, content: bytes) -> None:
    cache_file().parent.mkdir(parents=True)
    cache_file().write_bytes(content)
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    assert digest_of(file) == sha256(b"abc").hexdigest()


def test_where_nothing_can_be_kept_it_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    assert digest_of(file) == digest_of(file) == sha256(b"abc").hexdigest()
