"""How many threads an operation is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL = 40_000_000
"""Multiplications up to which one thread is faster than waking a second one for each operation."""


@contextmanager
def threads_for(multiplications: int) -> Iterator[None]:
    """One thread for little work."""
    threads = torch.get_num_threads()
    if multiplications > SMALL or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """For products so small that to wake the other threads takes longer. Up to two rows they are left to one anyway.

    A thread of the application's that uses torch for the first time meanwhile stays with one; others are not touched.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
