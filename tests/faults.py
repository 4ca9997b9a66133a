"""A tracer that raises at a line of some files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from linecache import getline
from types import FrameType
from typing import Any


@contextmanager
def fault(home: str, at: int, kind: type[BaseException]) -> Iterator[list[int]]:
    """Raise `kind` at the `at`-th line that the files under `home` run from here, in this thread; gives the lines that
    were counted. Lines that begin a `with` are left out: a tracer would raise once more where its block ends and before
    it is left, which nothing else does."""
    count = [0]

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(home):
            return None
        if event == "line" and not getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with "):
            count[0] += 1
            if count[0] == at:
                raise kind("injected")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


def places(total: int, some: int) -> range:
    """The lines at which to raise: all where ALORA_FLOW_EVERY_LINE is set, else about so many."""
    every = "ALORA_FLOW_EVERY_LINE" in os.environ
    return range(1, total + 1, 1 if every else max(1, total // some))
