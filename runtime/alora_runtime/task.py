"""One request while it is served: what it decides at each row of logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from alora_runtime.answer.choices import ChoiceTrie
from alora_runtime.answer.detokenizer import Detokenizer
from alora_runtime.answer.sampling import key_of, penalised, sample, top_logprobs, uniform
from alora_runtime.answer.watch import Invoked, Watch
from alora_runtime.errors import ConstraintError
from alora_runtime.requests import Completion, Delta, Finish, Listener, Matcher, Request, Suspended
from alora_runtime.schedule.sequence import Live, Row


@dataclass(slots=True, eq=False)
class Task:
    """The request, its integers for the scheduler (`live`), and its grammar (`matcher`).

    stops: every token that ends it; stop: the one that is written where the grammar allows nothing more.
    text: kept token by token where somebody listens or it decides of the end. told: tokens and characters given out.
    watch: for invocations. suspended: what has been written before and after the one that came. earlier: the reply as
    far as other requests wrote it. begun: where it last wrote what may begin an invocation; row: that of the token
    before, from which a caller goes on that drops its call.
    known: how the answer begins, where it was begun once before; these tokens are not chosen again, and are part of it
    where it ends before it has come to them.
    ending: how it ends, once that is decided, and by which error. result: what was given out at last.
    forced: places of the tokens that the grammar decided.
    finish: decided, but given only when all tokens but the last have their KV.
    room: most tokens that it may write. key: what the random numbers are made from, once one is drawn.
    plain: every token is simply the most likely one, and nobody looks at it before the end.
    """

    request: Request
    live: Live
    stops: frozenset[int]
    stop: int | None
    matcher: Matcher | None = None
    text: Detokenizer | None = None
    listener: Listener | None = None
    watch: Watch | None = None
    told: tuple[int, int] = (0, 0)
    known: Sequence[int] = ()
    ending: tuple[Finish, BaseException | None] | None = None
    result: Completion | None = None
    logprobs: list[dict[int, float]] = field(default_factory=list)
    forced: list[int] = field(default_factory=list)
    finish: Finish | None = None
    plain: bool = field(init=False)
    room: int = field(init=False)
    choice: int | None = None
    choice_logprobs: tuple[float, ...] = ()
    key: bytes = b""
    earlier: tuple[int, ...] = ()
    suspended: Suspended | None = None
    begun: int = -1
    row: Row | None = None

    def __post_init__(self) -> None:
        request = self.request
        self.room = request.room
        if request.resumes is not None:
            self.earlier, self.key = tuple(request.resumes.reply), request.resumes.key
            if self.told == (0, 0):  # by this request: the rest was told by those before
                tokens, text = self._certain()
                self.told = len(tokens), len(text)
        changed = request.temperature != 0.0 or request.repetition_penalty != 1.0
        looked_at = changed or self.matcher or self.live.trie or self.listener or self.text or request.logprobs
        self.plain = not (looked_at or self.known or self.watch or request.masked_tokens or request.resumes)

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
            if self.finish is not None and self.watch is not None and self.watch.found:
                self._suspend(self.watch.found)
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
        plain = plain and best not in self.request.masked_tokens and best != self._barred
        known = place < len(self.known)
        token = self.known[place] if known else best if plain else self._sample(logits[row])
        if self.request.logprobs:
            self.logprobs.append(top_logprobs(logits[row].log_softmax(-1), self.request.logprobs, token))
        self._append(token)
        if self.watch is not None and self.watch.clear[0] == place:
            self.begun = place
        if self.matcher and self.finish in (None, "length"):
            self.matcher.accept(token)
            self._force(self.matcher)

    def _sample(self, logits: Tensor) -> int:
        logits = self._penalised(logits, self.live.generated)
        if self.matcher is not None:
            logits = logits.masked_fill(~self._allowed(self.matcher, len(logits)), float("-inf"))
        if masked := self.request.masked_tokens:
            logits = logits.index_fill(0, torch.tensor(masked), float("-inf"))
        if (self.matcher or masked) and logits.max() == float("-inf"):
            why = ": all that could are in masked_tokens" if masked else ""
            raise ConstraintError(f"no token can continue the answer{why}")
        if (barred := self._barred) is not None:
            others = logits.index_fill(0, torch.tensor(barred), float("-inf"))
            logits = logits if others.max() == float("-inf") else others
        written = len(self.request.resumes.written) if self.request.resumes else 0
        return self._drawn(logits, written + len(self.live.generated))

    @property
    def _barred(self) -> int | None:
        """What must not come here, if anything else can."""
        resumes = self.request.resumes
        return resumes.first if resumes and resumes.dropped and not self.live.generated else None

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
        if self.watch is not None and self.watch.push(token):
            self.finish = "invoked"
        if token in self.stops:
            self.finish = "stop"
        elif self.text is not None and self.text.cut is not None:
            self.finish = "stop_string"
        elif not self.finish and len(self.live.generated) == self.room:
            self.finish = "length"

    def _cut(self) -> None:
        """Take back what the text up to the stop string does not need."""
        assert self.text is not None
        assert self.text.cut is not None
        count, earlier = self.text.tokens_of(self.text.cut), len(self.earlier)
        self.earlier = self.earlier[:count]
        self._shorten(max(0, count - earlier))
        del self.logprobs[len(self.live.generated) :]

    def _shorten(self, count: int) -> None:
        self.live.cut(count)
        self.known = ()
        self.forced = [place for place in self.forced if place < count]

    def _suspend(self, found: Invoked) -> None:
        """Take back what comes after an invocation, and the answer is what comes before it; unless a stop string that
        the same token made whole begins before it."""
        written = self.live.generated[: found.end]
        reply = (*self.earlier, *written[: found.before], *found.rest)
        if self.text is not None:
            before = self.text.of(reply)
            late = self.text.cut is None or found.end < len(self.live.generated) or self.text.cut >= len(before.text)
            if not late:
                return
            self.text = before
        self._shorten(found.end)
        kept = self.logprobs[: found.before]
        self.logprobs = kept + [{}] * len(found.rest) if self.request.logprobs else []
        resumes, key = self.request.resumes, self.key or key_of(self.request.seed, self.request.runs)
        everything = (*resumes.written, *written) if resumes else tuple(written)
        self.row = self.row if self.begun == found.before else None
        first = found.tokens[0] if found.rest else written[found.before]
        self.suspended = Suspended(found.name, tuple(found.tokens), reply, everything, key, first)
        self.finish, self.watch = "invoked", None

    @property
    def reply(self) -> tuple[int, ...]:
        """What has been written of the answer, by this request and by those that it resumes."""
        if self.suspended:
            return tuple(self.suspended.reply)
        return (*self.earlier, *self.live.generated, *self._missed)

    @property
    def _missed(self) -> Sequence[int]:
        """What was chosen before a call was torn, where the end has come before it was chosen again."""
        return self.known[len(self.live.generated) :] if self.ending else ()

    def tell(self, completion: Completion | None = None) -> BaseException | None:
        """Let the listener have what is new and certain; what it raises is returned."""
        if self.listener is None:
            self.result = completion
            return None
        last = completion is not None and not self.suspended
        tokens, text = (completion.tokens, completion.text) if completion and last else self._certain()
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

    def _certain(self) -> tuple[Sequence[int], str]:
        """Tokens and text that no stop string and no invocation to come can take back."""
        reply, text = () if self.live.trie else self.reply, self.text
        length = text.safe if text else 0
        count = text.tokens_of(length) if text and self.request.stop_strings else len(reply)
        if self.watch is not None:
            tokens, letters = self.watch.clear
            count = min(count, len(self.earlier) + tokens)
            if letters is None:
                letters = text.ends[count - 1] if text and count else 0
            length = min(length, letters)
        return reply[:count], text.text[:length] if text else ""

    def _force(self, matcher: Matcher) -> bool:
        """Append what must come; whether that was anything. An answer that is whole is not cut, even where there is no
        room for its stop token."""
        tokens = matcher.forced()
        room = self.room - len(self.live.generated)
        whole = matcher.done and len(tokens) <= room
        if matcher.done and self.stop is not None:
            tokens.append(self.stop)
        for token in tokens[:room]:
            if self.finish is not None:
                break
            if token in self.request.masked_tokens and token != self.stop:
                raise ConstraintError(f"the constraint leaves nothing but token {token}, which is in masked_tokens")
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
        scores = _scores(table)
        leaning = scores if request.repetition_penalty == 1.0 else _scores(self._leaning(trie, logits))
        self.choice_logprobs = trie.log_probabilities(scores)
        self.choice = trie.walk(leaning, self._pick)
        self.live.generated = list(trie.choices[self.choice])
        if request.logprobs:
            nodes = [trie.node(self.live.generated[:length]) for length in range(len(self.live.generated))]
            self.logprobs = [
                top_logprobs(table[node + 1], request.logprobs, token)
                for node, token in zip(nodes, self.live.generated, strict=True)
            ]
        return "choice"

    def _pick(self, weights: Sequence[float], position: int) -> int:
        """An option of a few, by their log-weights."""
        if self.request.temperature == 0.0:
            return weights.index(max(weights))
        return self._drawn(torch.tensor(weights, dtype=torch.double), position)

    def _leaning(self, trie: ChoiceTrie, logits: Tensor) -> Tensor:
        """The log-probabilities that the choice is taken by: with the penalty for what the prompt and the choice so far
        have written."""
        above = [[trie.tokens[each] for each in trie.ancestors(node)] for node in range(-1, len(trie.tokens))]
        rows = [self._penalised(row, written) for row, written in zip(logits, above, strict=True)]
        return torch.stack(rows).log_softmax(-1)

    def whole_text(self, decode: Callable[[Sequence[int]], str]) -> str:
        """That of the reply; `decode` makes it where it was not kept on the way. Raises ModelError."""
        if self.text is None:
            return decode(self.reply)
        return (self.text.of(self.reply) if self._missed else self.text).whole

    @property
    def told_text(self) -> str:
        """What has been given out of it."""
        return self.text.text[: self.told[1]] if self.text else ""

    def completion(self, finish: Finish, text: str, error: BaseException | None = None) -> Completion:
        """What the request's owner gets."""
        live, missed = self.live, len(self._missed)
        return Completion(
            tokens=self.reply,
            text=text,
            finish=finish,
            logprobs=(*self.logprobs, *[{}] * (missed if self.request.logprobs else 0)),
            choice=self.choice,
            choice_logprobs=self.choice_logprobs,
            reused=live.counted - live.prefilled,
            prefilled=live.prefilled,
            generated=len(live.generated) + missed - len(self.forced),
            forced=len(self.forced),
            suspended=self.suspended,
            error=error,
        )


def _scores(table: Tensor) -> Callable[[int, int], float]:
    """What the row of a trie's node says of a token; each number is read once."""
    return cache(lambda node, token: float(table[node + 1, token]))
