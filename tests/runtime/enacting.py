"""What a generation with calls must come to, in plain Python: one full forward pass for each token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf

import torch
from torch import Tensor

from alora_runtime import Request, Run, Trigger
from alora_runtime.answer.sampling import key_of, penalised, sample, uniform
from alora_runtime.calls.records import Called, Callee, Caller
from tests.runtime.checkpoints import Oracle, labelled
from tests.runtime.scripts import Script

Sequenced = list[tuple[int, str | None]]


class TooMany(Exception):
    """A call beyond the budget or the depth."""


@dataclass
class Written:
    """A reply, with the log-probabilities that each of its tokens was chosen by."""

    tokens: list[int] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    finish: str = "length"


class Enactment:
    """One caller. calls: (name, depth, place, what was answered), in the order in which they begin."""

    def __init__(self, oracle: Oracle, caller: Caller) -> None:
        self.oracle, self.caller = oracle, caller
        self.callees = {callee.name: callee for callee in caller.callees}
        self.calls: list[tuple[str, int, int, Written]] = []
        self.root = Written()
        invokes = list(self.callees) if caller.invokes is None else caller.invokes
        self.waiting: list[tuple[float, float, int]] = [(caller.budget, caller.depth, 0)]
        """Of whoever waits for another: most calls, most depth, and how many calls there were when it began."""
        try:
            self.write(caller.request, invokes, self.root, 1)
        except TooMany:
            self.root.finish = "error"

    def write(self, request: Request, invokes: Sequence[str], into: Written, depth: int) -> Written:
        """A reply token by token, with all calls that it makes."""
        adapter = request.runs[-1].adapter
        before: Sequenced = labelled((run.tokens, run.adapter) for run in request.runs)
        written: list[int] = []
        key, barred = key_of(request.seed, request.runs), None
        while len(written) < request.max_tokens:
            # From here to the next call, what is written is the reply, or the beginning of an invocation.
            grown, rows = [], []
            called = None
            while called is None and len(written) + len(grown) < request.max_tokens:
                logits = self.oracle.logits([*before, *((token, adapter) for token in grown)])[-1]
                rows.append(logits.log_softmax(-1))
                history = [*before, *((token, adapter) for token in grown)]
                place = len(written) + len(grown)
                number = uniform(key, place)
                grown.append(choose(logits, request, history, place, number, barred if not grown else None))
                last = len(written) + len(grown) == request.max_tokens
                called = invocation([self.callees[name] for name in invokes], grown, last)
            if called is None:
                into.tokens += grown
                into.rows += rows
                return into
            callee, start, end = called
            into.tokens += grown[:start]
            into.rows += rows[:start]
            written += grown[:end]
            before += [(token, adapter) for token in grown[:start]]
            back, kept = self.call(callee, before, adapter, depth, len(into.tokens))
            if back == "stop":
                into.finish = "invoked"
                return into
            if back == "keep":
                before += [(token, adapter) for token in (*grown[start:end], *kept)]
            barred = grown[start] if back == "drop" else None
        return into

    def call(
        self, callee: Callee, before: Sequenced, adapter: str | None, depth: int, place: int
    ) -> tuple[str, list[int]]:
        """An answer on the same prefix, and how its caller goes on."""
        for at, (budget, deepest, before_it) in enumerate(self.waiting):
            if len(self.calls) - before_it >= budget or depth - at > deepest:
                raise TooMany
        head, tail = callee.before[: callee.active_at], callee.before[callee.active_at :]
        runs = [Run((token,), label) for token, label in before]
        runs += [Run(head, adapter), Run(tail, callee.adapter)]
        answer = Written()
        self.calls.append((callee.name, depth, place, answer))
        limits = (inf if limit is None else limit for limit in (callee.budget, callee.depth))
        self.waiting.append((*limits, len(self.calls)))
        self.write(replace(callee.answer, runs=runs), callee.invokes, answer, depth + 1)
        self.waiting.pop()
        back = self.caller.handler(Called(callee.name, depth, place, ""))
        assert isinstance(back, str)
        return back, answer.tokens


def choose(logits: Tensor, request: Request, history: Sequenced, place: int, number: float, barred: int | None) -> int:
    """What the script says, else what the model wants."""
    places = request.constraint.places if isinstance(request.constraint, Script) else {}
    if place in places:
        return places[place]
    if request.repetition_penalty != 1.0:
        logits = penalised(logits, {token for token, _ in history}, request.repetition_penalty)
    logits = logits.clone()
    logits[[*request.masked_tokens, *([] if barred is None else [barred])]] = float("-inf")
    return sample(logits, request, number)


def invocation(callees: Sequence[Callee], grown: list[int], last: bool) -> tuple[Callee, int, int] | None:
    """The first that was written, of these the longest, once no longer one can follow; by looking everywhere."""
    triggers = [(callee, tuple(callee.trigger.tokens)) for callee in callees if isinstance(callee.trigger, Trigger)]
    found = [
        (start, -len(tokens), callee)
        for callee, tokens in triggers
        for start in range(len(grown))
        if tuple(grown[start : start + len(tokens)]) == tokens
    ]
    if not found:
        return None
    start, length, callee = min(found, key=lambda one: one[:2])
    better = any(
        tuple(grown[at:]) == tokens[: len(grown) - at] and len(tokens) > len(grown) - at
        for at in range(start + 1)
        for _, tokens in triggers
    )
    return None if better and not last else (callee, start, start - length)


def close(rows: Sequence[Tensor], got: Sequence[dict[int, float]]) -> None:
    """Reported log-probabilities of all tokens, against full passes: within 1e-4, or that part of themselves."""
    assert len(rows) == len(got)
    for expected, row in zip(rows, got, strict=True):
        got_row = torch.tensor([row[token] for token in range(len(expected))])
        torch.testing.assert_close(got_row, expected, atol=1e-4, rtol=1e-4)
