"""Measuring whether a base calls where the system asks for it, reads what was answered, and calls nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from alora_flow.mini.recipe.encoding import thread_ids
from alora_flow.mini.recipe.measuring import Pair, exact
from alora_flow.mini.recipe.network import Network
from alora_flow.mini.recipe.reading import greedy_all
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world import heldout
from alora_flow.mini.world.calls import AFTER, ASKS, BEFORE, DOUBT, GUESSED, KNOWN
from alora_flow.mini.world.heldout import Sample
from alora_flow.mini.world.requests import UNKNOWN
from alora_flow.training.intervals import Figures, rate

DOUBTED = "".join(text for text, _ in DOUBT)


def evaluate_calls(network: Network, encoder: Encoder, seed: int, count: int) -> Figures:
    """Rates: calls before and after an answer, what follows a verdict and a digit, and calls that nobody asked for."""
    before = replace(heldout.SMALL, asking=1.0, ways=((BEFORE,),))
    after = replace(heldout.SMALL, asking=1.0, ways=((AFTER,),))
    check, sure = encoder.role(BEFORE), encoder.role(AFTER)

    def right(pairs: Sequence[Pair]) -> Figures:
        return rate(exact(network, pairs))

    def said(one: Sample, *begun: int) -> list[int]:
        return [*thread_ids(encoder, one.turns), encoder.assistant, *begun]

    shown = heldout.answerable(seed, before, count)
    missing = heldout.unanswerable(seed + 1, before, count, careful=False)
    asked = heldout.answerable(seed + 2, after, count)
    digits = [encoder.text((KNOWN + GUESSED)[number % 10]) for number in range(count)]
    doubts = [encoder.text(DOUBTED if number % 10 >= len(KNOWN) else "") for number in range(count)]
    yes, no = encoder.text("Y"), encoder.text("N")
    answers = [encoder.text(one.target) for one in asked]
    return {
        "calls_before": right([(said(one), [check]) for one in [*shown, *missing]]),
        "reads_yes": right([(said(one, check, *yes), [*encoder.text(one.target), encoder.end]) for one in shown]),
        "reads_no": right([(said(one, check, *no), [*encoder.text(UNKNOWN), encoder.end]) for one in missing]),
        "calls_after": right([(said(one), [*text, sure]) for one, text in zip(asked, answers, strict=True)]),
        "reads_digit": right(
            [
                (said(one, *text, sure, *digit), [*doubt, encoder.end])
                for one, text, digit, doubt in zip(asked, answers, digits, doubts, strict=True)
            ]
        ),
        "calls_unasked": rate(unasked_calls(network, encoder, seed + 3, count)),
    }


def unasked_calls(network: Network, encoder: Encoder, seed: int, count: int) -> list[bool]:
    """Whether each of the base's greedy answers calls, where no system turn asks for it."""
    half = count // 2
    samples = heldout.answerable(seed, heldout.SMALL, count - half)
    samples += heldout.unanswerable(seed + 1, heldout.SMALL, half, careful=False)
    threads = [thread_ids(encoder, one.turns) for one in samples]
    called = {encoder.role(name) for name in ASKS}
    return [bool(called & set(ids)) for ids in greedy_all(network, threads, encoder.assistant, encoder.end)]
