"""Rows as tokens: the context, what the adapter is active on, and the answer; the same tokens as in a flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from random import Random

from alora_flow.errors import BadInput
from alora_flow.intrinsics.library import ModelFiles
from alora_flow.prompts.contents import Thread
from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import Prompter
from alora_flow.prompts.tokens import Tokenizer
from alora_flow.training.rows import LabelledRow
from alora_flow.training.spec import IntrinsicSpec

MANY = 5
"""So many rows are named where more are wrong."""


@dataclass(frozen=True)
class TrainingSample:
    """context: tokens without an adapter. adapted: those that follow it under one, until the answer. answer: what is
    learnt."""

    context: tuple[int, ...]
    adapted: tuple[int, ...]
    answer: tuple[int, ...]


class SampleEncoder:
    """Makes the rows of one intrinsic into tokens of one base."""

    def __init__(self, base: ModelFiles, spec: IntrinsicSpec) -> None:
        """Raises BadModel, and BadInput for an invocation that is no tokens, and for a label that begins another."""
        tokenizer = Tokenizer(base.folder)
        self.prompter = Prompter(tokenizer, ChatTemplate(base.folder, tokenizer.control))
        self.spec = spec
        self.invocation = tokenizer.encode_control(spec.invocation)
        if not self.invocation:
            raise BadInput(f"the invocation {spec.invocation!r} is no token of {base.name}")
        self.labels = {label: tokenizer.encode_data(label) for label in spec.answers}
        for (short, begun), (long, tokens) in permutations(self.labels.items(), 2):
            if tokens[: len(begun)] == begun:
                raise BadInput(
                    f"the label {long!r} begins with all tokens of the label {short!r}, which so is always likelier",
                    "give labels of which none begins as another",
                )

    def thread(self, row: LabelledRow, after: bool | None = None) -> Thread:
        """What the intrinsic reads of a row. after: as `sample` has it."""
        after = self.spec.documents == "after" if after is None else after
        return row.thread_with(row.after_question if after else row.after_system)

    def sample(self, row: LabelledRow, after: bool | None = None) -> TrainingSample:
        """One row. An activated adapter is on from the invocation's first token or its last; a plain one always.
        after: do documents stand behind the last question? As the spec has it where nothing is said."""
        thread = self.thread(row, after)
        context = [token for token in self.prompter.writing(thread).symbols if isinstance(token, int)]
        context += self.prompter.closing_tokens(thread)
        whole = (*context, *self.invocation)
        adapted_from = len(context) + (len(self.invocation) - 1 if self.spec.activate == "end" else 0)
        if self.spec.kind == "lora":
            adapted_from = 0
        return TrainingSample(whole[:adapted_from], whole[adapted_from:], self._answer(row))

    def _answer(self, row: LabelledRow) -> tuple[int, ...]:
        """A label's tokens; of a text also the token that ends a turn, if the template has one."""
        if self.labels:
            return self.labels[row.completion]
        end = self.prompter.turn_end
        return self.prompter.tokenizer.encode_data(row.completion) + (() if end is None else (end,))

    def samples(self, rows: Sequence[LabelledRow], positions: int | None, drawn: bool = False) -> list[TrainingSample]:
        """All rows. Raises BadInput with the rows that would be cut, and where the tokenizer would join the invocation
        with what stands before it. positions: what the base takes at most. drawn: do documents that may stand in either
        place stand in one by chance, or first?"""
        drawn = drawn and self.spec.documents == "either"
        samples = [self.sample(row, self._after(row, number) if drawn else None) for number, row in enumerate(rows)]
        limit = min(self.spec.longest, positions or self.spec.longest)
        lengths = [len(one.context) + len(one.adapted) + len(one.answer) for one in samples]
        long = [f"{row.where} ({length})" for row, length in zip(rows, lengths, strict=True) if length > limit]
        if long:
            more = f" and {len(long) - MANY} more" if len(long) > MANY else ""
            rows_have = "1 row has" if len(long) == 1 else f"{len(long)} rows have"
            raise BadInput(
                f"{rows_have} more than {limit} tokens with the answer: {', '.join(long[:MANY])}{more}",
                "leave them out, or give a larger `longest`, as far as the base takes it",
            )
        self._check_place(rows[0])
        return samples

    def _after(self, row: LabelledRow, number: int) -> bool:
        """By chance, and the same for all rows of a group, so that what they share is read once. Rows of no group go by
        their numbers."""
        return Random(f"{self.spec.seed} documents {number if row.group == '' else row.group}").random() < 0.5

    def _check_place(self, row: LabelledRow) -> None:
        """Is the invocation the same tokens where its text stands behind the text of a row?"""
        tokenizer = self.prompter.tokenizer
        before = [token for token in self.prompter.writing(row.thread).symbols if isinstance(token, int)]
        before += self.prompter.closing_tokens(row.thread)
        joined = tokenizer.encode_control(tokenizer.spell(tuple(before)) + self.spec.invocation)
        if joined[-len(self.invocation) :] != self.invocation:
            raise BadInput(
                f"the invocation {self.spec.invocation!r} is the tokens {list(self.invocation)} by itself, and others "
                f"behind the chat template: {list(joined[-len(self.invocation) :])}",
                "begin it with a control token of the model, such as <|im_start|>",
            )
