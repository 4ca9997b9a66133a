"""llama.cpp's own server on a GGUF file, from the xllamacpp package: the oracle for what such a file means."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.llama_server import Server

needs_llama_cpp = pytest.mark.skipif(find_spec("xllamacpp") is None, reason="needs xllamacpp: pip install xllamacpp")


ROOT = Path(__file__).parent.parent.parent


@contextmanager
def llama_cpp(file: Path, context: int = 512) -> Iterator[Server]:
    """It runs on one thread, and keeps keys and values in float32."""
    command = [sys.executable, "-m", "benchmarks.llama_process", str(file), "--context", str(context)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        address = process.stdout.readline().strip()
        assert address.startswith("http"), process.stderr.read()[-2000:]
        yield Server(int(address.rpartition(":")[2]), [])
        process.stdin.close()
