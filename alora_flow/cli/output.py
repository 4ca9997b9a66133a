"""What goes to standard output: the result, and nothing that a tool prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

STDOUT, STDERR = 1, 2  # descriptors


@contextmanager
def no_prints_on_stdout() -> Iterator[None]:
    """Meanwhile, what tools, their modules and the programs that they start print goes to stderr, as progress does."""
    printed = sys.stdout
    if not (_is_descriptor(printed, STDOUT) and _is_descriptor(sys.stderr, STDERR)):  # one is closed, or somebody's
        with redirect_stdout(sys.stderr):
            yield
        return
    printed.flush()
    kept = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        printed.flush()  # of whoever imported it by name
        os.dup2(kept, STDOUT)
        os.close(kept)


def is_terminal(stream: TextIO | None) -> bool:
    """None is a stream that was closed before the command began."""
    return stream is not None and stream.isatty()


def _is_descriptor(stream: object, number: int) -> bool:
    try:
        return stream.fileno() == number  # type: ignore[attr-defined, no-any-return]
    except (AttributeError, OSError, ValueError):
        return False
