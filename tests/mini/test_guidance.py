"""What two attention heads of the base are told while it trains."""

import numpy as np
import torch

from alora_flow.mini.recipe.base import POINTER, guidance
from alora_flow.mini.recipe.encoding import PaddedBatch
from alora_flow.mini.recipe.network import Network, Shape

LENGTH, SURE = 40, 50.0


def batch(sources: dict[tuple[int, int], int]) -> PaddedBatch:
    """Two rows, in which the tokens after these places are copied from these sources."""
    out = np.zeros((2, LENGTH), np.int16)
    for (row, place), source in sources.items():
        out[row, place] = source + 1
    return PaddedBatch(np.ones((2, LENGTH), np.int16), np.ones((2, LENGTH), np.float16), out)


def looking(at: dict[tuple[int, int], int]) -> list[torch.Tensor]:
    """Scores of all layers: the first looks one back, the late one where `at` says."""
    scores = [torch.zeros(2, LENGTH, LENGTH) for _ in range(Shape(64).layers)]
    for place in range(1, LENGTH):
        scores[0][:, place, place - 1] = SURE
    for (row, place), source in at.items():
        scores[POINTER][row, place, source] = SURE
    return scores


def test_heads_that_look_right_cost_nothing() -> None:
    sources = {(0, 30): 4, (1, 12): 0, (1, 39): 38}
    assert guidance(looking(sources), batch(sources)) < 1e-6


def test_each_head_costs_where_it_looks_wrong() -> None:
    sources = {(0, 30): 4, (1, 12): 0}
    assert guidance(looking({(0, 30): 5, (1, 12): 0}), batch(sources)) > SURE / 3
    wrong = looking(sources)
    wrong[0].zero_()
    assert guidance(wrong, batch(sources)) > 3


def test_a_batch_without_sources_tells_only_the_first() -> None:
    assert guidance(looking({}), batch({})) < 1e-6


def test_scores_are_those_before_the_softmax() -> None:
    network = Network(Shape(64, hidden=16, layers=4, heads=2, inner=16))
    seen: list[torch.Tensor] = []
    network(torch.arange(10)[None], scores=seen)
    assert [tuple(s.shape) for s in seen] == [(1, 10, 10)] * 4
    above = torch.ones(10, 10, dtype=torch.bool).triu(1)
    assert all((s[0][above] == -1e4).all() and s[0][~above].abs().max() < 1e3 for s in seen)
