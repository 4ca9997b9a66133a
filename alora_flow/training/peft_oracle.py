"""The same predictions by transformers and PEFT, a full forward pass for each row: what the engine is held against."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftConfig, PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from alora_flow.intrinsics.library import ModelFiles
from alora_flow.training.predictions import Predictions, Progress, TextPredictions, quiet
from alora_flow.training.samples import TrainingSample

AT_ONCE = 1024
"""Tokens of rows of one length that are computed together; a longer row is computed by itself."""


class PeftPredictor:
    """A base with one adapter, in float32."""

    def __init__(self, base: ModelFiles, adapter: Path, activate: str = "start", progress: Progress = quiet) -> None:
        """activate: as an intrinsic's spec has it. PEFT knows no "end": for it the last of the invocation's tokens
        activates."""
        logging.disable_progress_bar()
        config = PeftConfig.from_pretrained(str(adapter))
        if activate == "end" and config.alora_invocation_tokens:
            config.alora_invocation_tokens = config.alora_invocation_tokens[-1:]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
            self._model: Any = PeftModel.from_pretrained(model, str(adapter), config=config).eval()
        self._progress = progress

    def labels(self, samples: Sequence[TrainingSample], labels: Sequence[tuple[int, ...]]) -> Predictions:
        """How likely each of the labels, which are tokens, answers each sample."""
        beginnings = list(dict.fromkeys(label[:-1] for label in labels))
        jobs = [(sample.context + sample.adapted, begun) for sample in samples for begun in beginnings]
        scores = dict(zip(((s, b) for s in range(len(samples)) for b in beginnings), self._scores(jobs), strict=True))
        return Predictions(
            np.array([[_sum(scores[row, label[:-1]], label) for label in labels] for row in range(len(samples))])
        )

    def texts(self, samples: Sequence[TrainingSample]) -> TextPredictions:
        """How each sample's own answer is written."""
        scores = self._scores([(sample.context + sample.adapted, sample.answer[:-1]) for sample in samples])
        both = list(zip(scores, (sample.answer for sample in samples), strict=True))
        exact = [tuple(one.argmax(1).tolist()) == answer for one, answer in both]
        return TextPredictions(np.array(exact), np.array([_sum(one, answer) / len(answer) for one, answer in both]))

    @torch.no_grad()
    def _scores(self, jobs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[Tensor]:
        """For prompts and what follows them: log-probabilities of the next token behind the prompt and behind each
        token that follows, `[1 + following, vocabulary]`."""
        found: list[Tensor] = [torch.empty(0)] * len(jobs)
        done = 0
        for rows in _alike([(len(prompt), len(begun)) for prompt, begun in jobs]):
            tokens = torch.tensor([jobs[row][0] + jobs[row][1] for row in rows])
            kept = 1 + len(jobs[rows[0]][1])
            logits = self._model(input_ids=tokens, logits_to_keep=kept, use_cache=False).logits
            for row, scores in zip(rows, logits.float().log_softmax(2), strict=True):
                found[row] = scores
            done += len(rows)
            self._progress(done, len(jobs))
        return found


def _alike(lengths: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Rows of the same lengths, in portions: none of them needs padding."""
    portions: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        last = portions[-1] if portions else []
        if last and lengths[last[0]] == lengths[row] and (len(last) + 1) * sum(lengths[row]) <= AT_ONCE:
            last.append(row)
        else:
            portions.append([row])
    return portions


def _sum(scores: Tensor, tokens: tuple[int, ...]) -> float:
    """The log-probability of tokens, by the scores of each place."""
    return float(scores[torch.arange(len(tokens)), list(tokens)].sum())
