"""What is made while the garbage collector rests is old afterwards, and what a caller froze stays frozen."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from alora_flow.collector import no_collection

MANY = 10_000


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def _young() -> int:
    return len(gc.get_objects(generation=0))


def test_what_is_made_is_not_looked_through_when_it_ends() -> None:
    with no_collection():
        kept = [[number] for number in range(MANY)]
        assert not gc.isenabled()
        assert _young() >= MANY
    assert gc.isenabled()
    assert _young() < MANY
    assert len(kept) == MANY
    assert gc.is_tracked(kept[0])


def test_a_cycle_among_it_goes_with_the_next_full_collection() -> None:
    with no_collection():
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
    assert gc.collect() >= 1


def test_frozen_objects_stay_so() -> None:
    mine = [object()]
    assert any(one is mine for one in gc.get_objects())
    gc.freeze()
    with no_collection():
        pass
    # The collector lists no frozen object. Their number is no measure: a frozen object may die in between.
    assert not any(one is mine for one in gc.get_objects())
    assert gc.isenabled()


def test_off_stays_off() -> None:
    gc.disable()
    with no_collection():
        pass
    assert not gc.isenabled()
