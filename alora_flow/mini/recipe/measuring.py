"""Samples as prompts and answers, for measuring the base."""

from __future__ import annotations

from collections.abc import Sequence

from alora_flow.mini.recipe.encoding import thread_ids
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world.heldout import Sample
from alora_flow.training.evaluation import Pair


def answer_pairs(encoder: Encoder, samples: Sequence[Sample]) -> list[Pair]:
    """Prompt ids and answer ids, `<|end|>` included."""
    return [
        ([*thread_ids(encoder, s.turns), encoder.assistant], [*encoder.text(s.target), encoder.end]) for s in samples
    ]
