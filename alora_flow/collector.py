"""The garbage collector rests while something is made that stays and holds no cycles, as trees, programs and plans do:
it would look through all of it, again and again, and find nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Of several threads the one that found the collector on puts it on again, maybe before the others end."""
    enabled = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if enabled:
            _put_with_the_old()
            gc.enable()


def _put_with_the_old() -> None:
    """All that is young, without a look at it: else the next object that is made has it looked through after all. Not
    where a caller has frozen objects, which would thaw."""
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()
