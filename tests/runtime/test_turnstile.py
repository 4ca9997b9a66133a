"""One call at a time, however its threads take turns."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from alora_runtime.errors import BusyError
from alora_runtime.turnstile import Passage, Turnstile, exclusive

ROUNDS = 3000
"""Calls of each thread."""


class Counter:
    """Counts, in a way that loses some where two count at once."""

    def __init__(self) -> None:
        self._turnstile, self.count, self.inside = Turnstile(), 0, 0

    def _mend(self) -> None:
        pass

    @exclusive()
    def add(self, tear: bool) -> None:
        """One more; or a call that is torn."""
        self.inside += 1
        assert self.inside == 1
        before = self.count
        for _ in range(3):  # a thread may be switched where a loop goes on
            pass
        self.count = before + 1
        self.inside -= 1
        if tear:
            raise MemoryError


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Threads are switched as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_are_never_inside_together() -> None:
    counter, added, wrong = Counter(), [0] * 4, list[BaseException]()

    def work(number: int) -> None:
        for place in range(ROUNDS):
            try:
                counter.add(tear=place % 5 == 0)
                added[number] += 1
            except MemoryError:
                added[number] += 1
            except BusyError:
                pass
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert counter.count == sum(added) > 0


def test_of_two_who_find_a_call_over_the_slow_one_does_not_come_next() -> None:
    over, quick, slow = (Passage(None, 0) for _ in range(3))
    assert over.followed(quick) is quick
    assert over.followed(slow) is quick
    assert quick.followed(slow) is slow


def test_a_call_that_is_over_keeps_nothing() -> None:
    class Given:
        """An argument."""

    counter, given = Counter(), Given()
    kept = weakref.ref(given)
    with pytest.raises(MemoryError):
        counter.add(given)  # type: ignore[arg-type]
    del given
    gc.collect()
    assert kept() is None
