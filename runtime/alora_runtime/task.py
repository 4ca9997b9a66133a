"""One request while it is served: what it decides at each row of logits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from alora_runtime.answer.choices import ChoiceTrie
from alora_runtime.answer.detokenizer import Detokenizer
from alora_runtime.answer.sampling import key_of, penalised, sample, top_logprobs, uniform
from alora_runtime.requests import Completion, Delta, Finish, Listener, Matcher, Request
from alora_runtime.schedule.sequence import Live


@dataclass(slots=True, eq=False)
class Task:
    """The request, its integers for the scheduler (`live`), and its grammar (`matcher`).

    stops: every token that ends it; stop: the one that is written where the grammar allows nothing more.
    text: kept token by token where somebody listens or a string may stop it. told: tokens and characters given out.
    known: how the answer begins, where it was begun once before; these tokens are not chosen again.
    ending: how it ends, once that is decided, and by which error. result: what was given out at last.
    forced: places of the tokens that the grammar decided.
    finish: decided, but given only when all tokens but the last have their KV.
    key: what the random numbers are made from, once one is drawn.
    plain: every token is simply the most likely one, and nobody looks at it before the end.
    """

    request: Request
    live: Live
    stops: frozenset[int]
    stop: int | None
    matcher: Matcher | None = None
    text: Detokenizer | None = None
    listener: Listener | None = None
    told: tuple[int, int] = (0, 0)
    known: Sequence[int] = ()
    ending: tuple[Finish, BaseException | None] | None = None
    result: Completion | None = None
    logprobs: list[dict[int, float]] = field(default_factory=list)
    forced: list[int] = field(default_factory=list)
    finish: Finish | None = None
    plain: bool = field(init=False)
    choice: int | None = None
    choice_logprobs: tuple[float, ...] = ()
    key: bytes = b""

    def __post_init__(self) -> None:
        request = self.request
        changed = request.temperature != 0.0 or request.repetition_penalty != 1.0
        looked_at = changed or self.matcher or self.live.trie or self.listener or self.text or request.logprobs
        self.plain = not (looked_at or self.known)

    def advance(self, logits: Tensor, first: int, last: int, best: int) -> Finish | None:
        """Go on from rows `first` … `last - 1` of `[rows, vocabulary]` logits, the last of which has its maximum at
        `best`; says whether it is the end. Raises ConstraintError at a dead end."""
        if self.plain and self.finish is None:
            self._append(best)
            if self.finish is None:
                return None
        elif self.live.trie:
            return self._choose(logits[first:last])
        elif self.finish is None:
            self._go_on(logits, last - 1, best)
            if self.finish == "stop_string":
                self._cut()
        self.live.closing = self.finish is not None
        return None if self.live.pending else self.finish

    def _go_on(self, logits: Tensor, row: int, best: int) -> None:
        """What must come first, where nothing has come yet; else a sampled token and what must follow it."""
        if self.matcher and not self.live.generated and self._force(self.matcher):
            return
        plain = self.matcher is None and self.request.temperature == 0.0 and self.request.repetition_penalty == 1.0
        place = len(self.live.generated)
        known = place < len(self.known)
        token = self.known[place] if known else best if plain else self._sample(logits[row])
        if self.request.logprobs:
            self.logprobs.append(top_logprobs(logits[row].log_softmax(-1), self.request.logprobs, token))
        self._append(token)
        if self.matcher and self.finish in (None, "length"):
            self.matcher.accept(token)
            self._force(self.matcher)

    def _sample(self, logits: Tensor) -> int:
        logits = self._penalised(logits, self.live.generated)
        if self.matcher is not None:
            logits = logits.masked_fill(~self._allowed(self.matcher, len(logits)), float("-inf"))
        return self._drawn(logits, len(self.live.generated))

    def _penalised(self, logits: Tensor, written: Iterable[int]) -> Tensor:
        request = self.request
        if request.repetition_penalty == 1.0:
            return logits
        seen = {token for run in request.runs for token in run.tokens}.union(written)
        return penalised(logits, seen, request.repetition_penalty)

    def _drawn(self, logits: Tensor, position: int) -> int:
        """A token of `[vocabulary]` logits, or an option of a few."""
        request = self.request
        if request.temperature and not self.key:
            self.key = key_of(request.seed, request.runs)
        return sample(logits, request, uniform(self.key, position) if request.temperature else 0.0)

    def _allowed(self, matcher: Matcher, vocabulary: int) -> Tensor:
        packed = torch.frombuffer(bytearray(matcher.mask()), dtype=torch.uint8)
        allowed = torch.zeros(max(vocabulary, 8 * len(packed)), dtype=torch.bool)
        allowed[: 8 * len(packed)] = (packed[:, None] >> torch.arange(8, dtype=torch.uint8) & 1).flatten()
        if matcher.accepting:
            allowed[[token for token in self.stops if 0 <= token < vocabulary]] = True
        return allowed[:vocabulary]

    def _append(self, token: int) -> None:
        self.live.generated.append(token)
        if self.text is not None:
            self.text.push(token)
        if token in self.stops:
            self.finish = "stop"
        elif self.text is not None and self.text.cut is not None:
            self.finish = "stop_string"
        elif len(self.live.generated) == self.request.max_tokens:
            self.finish = "length"

    def _cut(self) -> None:
        """Take back what the text up to the stop string does not need."""
        assert self.text is not None
        assert self.text.cut is not None
        count = self.text.tokens_of(self.text.cut)
        self.live.cut(count)
        del self.logprobs[count:]
        self.forced = [place for place in self.forced if place < count]

    def tell(self, completion: Completion | None = None) -> BaseException | None:
        """Let the listener have what is new and certain; what it raises is returned."""
        if self.listener is None:
            self.result = completion
            return None
        tokens, text = self._certain() if completion is None else (completion.tokens, completion.text)
        before = self.told
        after = max(before[0], len(tokens)), max(before[1], len(text))
        delta = Delta(tuple(tokens[before[0] :]), text[before[1] :], completion)
        try:
            if completion or after != before:
                # One line, because nothing may come between what is told and the note of it.
                _, self.told, self.result = self.listener(delta), after, completion
        except BaseException as error:
            return error
        return None

    def _certain(self) -> tuple[list[int], str]:
        """Tokens and text that no stop string to come can take back."""
        if self.text is None:
            return [] if self.live.trie else list(self.live.generated), ""
        length = self.text.safe
        count = self.text.tokens_of(length) if self.request.stop_strings else len(self.live.generated)
        return self.live.generated[:count], self.text.text[:length]

    def _force(self, matcher: Matcher) -> bool:
        """Append what must come; whether that was anything. An answer that is whole is not cut, even where there is no
        room for its stop token."""
        tokens = matcher.forced()
        room = self.request.max_tokens - len(self.live.generated)
        whole = matcher.done and len(tokens) <= room
        if matcher.done and self.stop is not None:
            tokens.append(self.stop)
        for token in tokens[:room]:
            if self.finish is None:
                self.forced.append(len(self.live.generated))
                self._append(token)
                self.logprobs += [{}] if self.request.logprobs else []
        if whole and self.finish in (None, "length"):
            self.finish = "stop"
        return bool(tokens) or matcher.done

    def _choose(self, logits: Tensor) -> Finish:
        """From the row of the prompt's last token and one of each node of the trie."""
        trie, request = self.live.trie, self.request
        assert trie is not None
        table = logits.log_softmax(-1)
        self.choice_logprobs = trie.log_probabilities(lambda node, token: float(table[node + 1, token]))
        leaning = table if request.repetition_penalty == 1.0 else self._leaning(trie, logits)
        self.choice = trie.walk(
            lambda node, token: float(leaning[node + 1, token]),
            lambda weights, position: self._drawn(torch.tensor(weights, dtype=torch.double), position),
        )
        self.live.generated = list(trie.choices[self.choice])
        if request.logprobs:
            nodes = [trie.node(self.live.generated[:length]) for length in range(len(self.live.generated))]
            self.logprobs = [
                top_logprobs(table[node + 1], request.logprobs, token)
                for node, token in zip(nodes, self.live.generated, strict=True)
            ]
        return "choice"

    def _leaning(self, trie: ChoiceTrie, logits: Tensor) -> Tensor:
        """The log-probabilities that the choice is taken by: with the penalty for what the prompt and the choice so far
        have written."""
        above = [[trie.tokens[each] for each in trie.ancestors(node)] for node in range(-1, len(trie.tokens))]
        rows = [self._penalised(row, written) for row, written in zip(logits, above, strict=True)]
        return torch.stack(rows).log_softmax(-1)

    def completion(self, finish: Finish, text: str, error: BaseException | None = None) -> Completion:
        """What the request's owner gets; `text` is that of the tokens where it was not kept on the way."""
        live = self.live
        return Completion(
            tokens=tuple(live.generated),
            text=text if self.text is None else self.text.whole,
            finish=finish,
            logprobs=tuple(self.logprobs),
            choice=self.choice,
            choice_logprobs=self.choice_logprobs,
            reused=live.counted - live.prefilled,
            prefilled=live.prefilled,
            generated=len(live.generated) - len(self.forced),
            forced=len(self.forced),
            error=error,
        )
