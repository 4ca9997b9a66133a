"""Measuring a base and its adapters on held-out names and requests; every figure with its count and interval."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from pathlib import Path

import torch
from torch import Tensor

from alora_flow.mini import INTRINSICS
from alora_flow.mini.recipe.calling import evaluate_calls
from alora_flow.mini.recipe.encoding import samples
from alora_flow.mini.recipe.folders import load_adapter, load_base
from alora_flow.mini.recipe.measuring import answer_pairs, exact, judge, own_answers
from alora_flow.mini.recipe.network import Network
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world import heldout
from alora_flow.mini.world.calls import INVOCATIONS
from alora_flow.mini.world.heldout import Sample
from alora_flow.mini.world.tasks import Case, cases_of, order
from alora_flow.training.intervals import Figures, by, rate
from alora_flow.training.metrics import calibration_error, once

# Seeds that nothing else uses: not the training, nor what is watched during it.
BASE_SEED, ADAPTER_SEED = 700_001, 800_001
COUNT = 400


def exact_answers(network: Network, encoder: Encoder, some: Sequence[Sample]) -> Figures:
    """How often the answer is right to the letter, also by order, by wording and by what is asked for."""
    hits = exact(network, answer_pairs(encoder, some))
    parts = {
        "by_order": by([order(s) for s in some], hits),
        "by_wording": by([s.question.mode for s in some], hits),
        "by_value": by([s.question.value for s in some], hits),
    }
    return {**rate(hits), **parts}


def evaluate_base(network: Network, encoder: Encoder, count: int = COUNT) -> Figures:
    """Answers that documents give, and what happens where they give none."""
    small = heldout.answerable(BASE_SEED, heldout.SMALL, count)
    large = heldout.answerable(BASE_SEED + 1, heldout.LARGE, count)
    careful = heldout.unanswerable(BASE_SEED + 2, heldout.SMALL, count, careful=True)
    plain = heldout.unanswerable(BASE_SEED + 3, heldout.SMALL, count, careful=False)
    guesses = own_answers(network, encoder)(plain)
    return {
        "small": exact_answers(network, encoder, small),
        "large": exact_answers(network, encoder, large),
        "admits": rate(exact(network, answer_pairs(encoder, careful))),
        "guesses": rate([not g.startswith("The documents") for g in guesses]),
        **evaluate_calls(network, encoder, BASE_SEED + 4, count),
    }


def certainty(scores: Tensor, encoder: Encoder) -> Tensor:
    """The expected certainty over the ten digits, as `io.yaml` reads it."""
    digits = [encoder.text(str(d))[0] for d in range(10)]
    return scores[:, digits].softmax(-1) @ (torch.arange(10) * 0.1 + 0.05)


def uncertainty_figures(cases: Sequence[Case], scores: Tensor, encoder: Encoder) -> Figures:
    """How the expected certainty fits what was right."""
    return certainty_figures(certainty(scores, encoder), torch.tensor([float(c.right) for c in cases]))


def certainty_figures(sure: Tensor, right: Tensor) -> Figures:
    """Brier score against the best constant in hindsight, with the interval of their difference, and ECE."""
    own, constant = (sure - right) ** 2, (right.mean() - right) ** 2
    gain = constant - own
    half = 1.96 * float(gain.std()) / sqrt(len(right))
    return {
        "n": len(right),
        "brier": round(float(own.mean()), 4),
        "brier_constant": round(float(constant.mean()), 4),
        "gain_low": round(float(gain.mean()) - half, 4),
        "gain_high": round(float(gain.mean()) + half, 4),
        "ece": round(float(calibration_error(sure.numpy(), right.numpy(), once(len(right)))[0]), 4),
        "right": round(float(right.mean()), 4),
        "works": float(gain.mean()) - half > 0,
    }


def trivial_error(name: str, cases: Sequence[Case]) -> float:
    """The error of the rule that looks at nothing: the commoner answer, or the question as it was."""
    if name == "query_rewrite":
        return sum(c.turns[-1].text != c.answer for c in cases) / len(cases)
    yes = sum(c.answer == "Y" for c in cases) / len(cases)
    return min(yes, 1 - yes)


def evaluate_adapter(network: Network, encoder: Encoder, weights: Path, name: str, count: int = COUNT) -> Figures:
    """One adapter's figures."""
    cases = cases_of(name, "test", count, ADAPTER_SEED, own_answers(network, encoder))
    right, scores = judge(network, samples(encoder, name, cases), load_adapter(network.shape, name, weights))
    if name == "uncertainty":
        return uncertainty_figures(cases, scores, encoder)
    wrong = [not one for one in right]
    # That an adapter calls is no decision; what it makes of the answer is.
    decided = [place for place, case in enumerate(cases) if case.answer not in INVOCATIONS]
    error, trivial = rate([wrong[place] for place in decided]), trivial_error(name, [cases[place] for place in decided])
    parts = by([c.group + ", inside a turn" * c.inside for c in cases], wrong)
    return {**error, "trivial": round(trivial, 4), "works": error["high"] < trivial, "by_group": parts}


def evaluate(weights: Path, count: int = COUNT) -> Figures:
    """All figures of a folder with `base` and `intrinsics`."""
    network, encoder = load_base(weights / "base"), Encoder.load(weights / "base")
    figures: Figures = {"base": evaluate_base(network, encoder, count), "intrinsics": {}}
    for name in INTRINSICS:
        figures["intrinsics"][name] = evaluate_adapter(network, encoder, weights, name, count)
    return figures
