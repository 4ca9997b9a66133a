"""Adapters' small products run on one thread, and leave the number of threads as it was."""

from collections.abc import Iterator

import pytest
import torch

from alora_runtime.compute.cpu.threads import one_thread


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_one_inside_and_as_many_as_before_after() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_after_a_failure_too() -> None:
    with pytest.raises(RuntimeError, match="shapes"), one_thread():
        torch.mm(torch.ones(2, 3), torch.ones(2, 3))
    assert torch.get_num_threads() == 2
