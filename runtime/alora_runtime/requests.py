"""What goes into the engine and what comes out: frozen values without tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal, Protocol

from alora_runtime.errors import RequestError, shown

Finish = Literal["stop", "stop_string", "length", "choice", "invoked", "cancelled", "timeout", "error"]

KEY_BYTES = 16
"""Of what a request's random numbers are made from."""


class Matcher(Protocol):
    """The state of one constraint on one growing answer."""

    def forced(self) -> list[int]:
        """The tokens that must come next and have been accepted; may be empty."""

    def mask(self) -> bytes:
        """One bit per token id, low bit first, set where the token may come next."""

    def accept(self, token: int) -> None:
        """The token came. Raises ConstraintError where it may not."""

    @property
    def accepting(self) -> bool:
        """Whether the answer may end here."""

    @property
    def done(self) -> bool:
        """Whether it must."""


class MatcherSource(Protocol):
    """What a request carries as its constraint: an `answer.constraints.Constraint`, or one of your own."""

    def matcher(self, vocabulary: Any) -> Matcher:
        """A fresh matcher for an `answer.constraints.Vocabulary`. Raises ConstraintError when it does not compile."""


def listed(field: str, values: Any) -> tuple[Any, ...]:
    """Raises RequestError where these are no list of any kind. An array's numbers become Python's at once."""
    try:
        return tuple(values.tolist() if hasattr(values, "tolist") else values)
    except Exception as error:  # whatever a class of somebody's own raises, and a tensor without data
        raise RequestError(f"{field} must be a list, not {shown(values)}") from error


@dataclass(frozen=True)
class Run:
    """Consecutive tokens under one adapter; `adapter=None` is the base model."""

    tokens: Sequence[int]
    adapter: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", listed("tokens", self.tokens))

    @cached_property
    def span(self) -> tuple[int, int] | None:
        """The least and the largest id, where all are Python's own integers; found once, however many requests have the
        same object."""
        if set(map(type, self.tokens)) != {int}:
            return None
        return min(self.tokens), max(self.tokens)


@dataclass(frozen=True)
class Trigger:
    """Tokens that end a generation when it has written them: somebody is to be called, under this name."""

    name: str
    tokens: Sequence[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", listed("tokens", self.tokens))


@dataclass(frozen=True)
class TextTrigger:
    """The same for a text, wherever tokens begin and end: for an invocation that the model may spell in other tokens.
    The token that it begins in the middle of is replaced by those of what stands before it. control: the control tokens
    that it spells are written as these tokens, and only what stands between them as text. also: other texts that invoke
    the same."""

    name: str
    text: str
    control: bool = False
    also: Sequence[str] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """All that invoke it."""
        return self.text, *self.also


@dataclass(frozen=True)
class Suspended:
    """An answer in the middle of which somebody is called; another request goes on with it (`Request.resumes`).

    trigger: whose invocation was written. invocation: its tokens; of a text, those that it is tokenised to.
    reply: the tokens before it, and before every earlier call: they make the text, in which a character or a stop
        string may go across a call.
    written: all tokens that were written, invocations among them: they count for `max_tokens`, for the positions of
        random numbers, and for the constraint. key: what random numbers are made from.
    first: the token that the invocation began with. dropped: whether that must not be the next one, unless nothing else
        can be: where a call leaves nothing behind, the same context would only write it again.
    """

    trigger: str
    invocation: Sequence[int]
    reply: Sequence[int]
    written: Sequence[int]
    key: bytes
    first: int
    dropped: bool = False

    def __post_init__(self) -> None:
        for name in ("invocation", "reply", "written"):
            object.__setattr__(self, name, listed(name, getattr(self, name)))


@dataclass(frozen=True)
class Request:
    """One sequence to go on from. What is generated carries the adapter of the last run, which may be empty: then the
    adapter is active from the first generated token on.

    max_tokens: most tokens to generate, sampled and forced together; ignored with `choices`.
    temperature: 0 is greedy. top_p, top_k (0: off), min_p and repetition_penalty (1: off) act as in transformers; where
        a constraint or `choices` leave only some tokens, among these. `choice_logprobs` know nothing of them.
    seed: with the prompt and the position it decides every random number, so that no other request can change the
        answer, and other prompts draw other numbers. Of 128 bits at most.
    logprobs: how many alternatives to report per sampled token, beside the chosen one.
    stop_tokens: end generation, beside the model's own end-of-sequence tokens (which `ignore_eos` turns off).
    choices: the answer is one of these token sequences.
    constraint: the answer matches this grammar.
    stop_strings: the text ends before the first of them that is written, wherever tokens begin and end; ignored with
        `choices`.
    next_use: what a plan knows of this sequence: how many requests later one goes on from it, 0 for never again, None
        where that is not known. Where parts of it differ, pairs (end, next use) for the tokens before position `end`,
        by ascending `end`; None as the last `end`: all the rest, with what is generated. Of a pair, None as the next
        use ends what was planned for that part. It decides what is evicted first, nothing else.
    pin: a name under which the sequence stays in the cache when it is done (unless it fails, times out or is
        cancelled), never evicted, until `Engine.release` of that name.
    timeout: seconds after submission at which the request ends with what it has.
    triggers: invocations that may be written here. One that is whole ends the answer as "invoked": of several the one
        that begins first, of these the longest, which is known when no longer one can follow. What ends an answer
        otherwise (a stop token or string, the length, the constraint) comes too late for one that is whole; written
        together with one by the same token, a stop string counts where it begins before. Not with `choices`.
    masked_tokens: never sampled: the invocations of all adapters, where none may be called.
    resumes: the answer that this one goes on with, as the completion of an "invoked" request has it. The runs are what
        it goes on from; the other fields stay those of the request that began it.
    """

    runs: Sequence[Run]
    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    logprobs: int = 0
    stop_tokens: Sequence[int] = ()
    choices: Sequence[Sequence[int]] | None = None
    constraint: MatcherSource | None = None
    ignore_eos: bool = False
    stop_strings: Sequence[str] = ()
    timeout: float | None = None
    next_use: int | Sequence[tuple[int | None, int | None]] | None = None
    pin: str | None = None
    triggers: Sequence[Trigger | TextTrigger] = ()
    masked_tokens: Sequence[int] = ()
    resumes: Suspended | None = None

    def __post_init__(self) -> None:
        for name in ("runs", "stop_tokens", "triggers", "masked_tokens"):
            object.__setattr__(self, name, listed(name, getattr(self, name)))
        strings = self.stop_strings
        object.__setattr__(
            self, "stop_strings", (strings,) if isinstance(strings, str) else listed("stop_strings", strings)
        )
        if self.choices is not None:
            choices = tuple(listed("a choice", choice) for choice in listed("choices", self.choices))
            object.__setattr__(self, "choices", choices)

    @property
    def prompt_length(self) -> int:
        """Tokens in all runs."""
        return sum(len(run.tokens) for run in self.runs)

    @property
    def room(self) -> int:
        """Most tokens that it may still write."""
        return self.max_tokens - (len(self.resumes.written) if self.resumes else 0)

    def samples(self, n: int) -> list[Request]:
        """The same request `n` times, with seeds of their own, made from `seed`; their prompt is computed once."""
        return [replace(self, seed=_seed(self.seed, index)) for index in range(n)]


def _seed(seed: int, index: int) -> int:
    """One of 48 bits, so that samples of neighbouring seeds have none in common."""
    return int.from_bytes(blake2b(f"{seed} {index}".encode(), digest_size=6).digest())


@dataclass(frozen=True)
class Completion:
    """The answer to one request, and what it cost.

    tokens: generated ids; with finish "stop" the last one is the stop token. The engine writes it where a constraint
        allows nothing more, unless the model has none or the answer has `max_tokens` tokens without it. With
        "stop_string" there are as many as `text` needs: the last one may reach into the stop string, and there is none
        where the text is empty. The cache keeps all of them but the last.
        With "invoked" they are what stands before the invocation. Of a request that resumes they are the whole reply,
        from its beginning on, and so is `text`.
    text: the same without special tokens, and without the stop string and what follows it.
    logprobs: one mapping (token id → natural log-probability before any mask, penalty or temperature) per generated
        token when asked for; empty for tokens that the constraint forced, because no row was computed for them, and for
        those of before a torn call, where the request ended before it came to them again. Those of what a request
        resumes are with the completion that wrote it.
    choice, choice_logprobs: index taken, and for each choice the log-probability of its tokens before any mask.
    reused + prefilled == prompt length: prompt tokens found in the cache, and computed for this request.
    generated + forced: tokens decided by the model, and by the constraint alone; len(tokens) in all, or with "invoked"
        as many more as the invocation has, and without what a request resumes.
    suspended: with "invoked", what a request needs that goes on with the answer.
    error: set with finish "error"; the other requests go on.
    """

    tokens: tuple[int, ...]
    text: str
    finish: Finish
    logprobs: tuple[Mapping[int, float], ...] = ()
    choice: int | None = None
    choice_logprobs: tuple[float, ...] = ()
    reused: int = 0
    prefilled: int = 0
    generated: int = 0
    forced: int = 0
    suspended: Suspended | None = None
    error: BaseException | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Delta:
    """What an answer has grown by. All tokens and texts of a request's deltas, put together, are its completion's: but
    what a stop string after a call could still take back of an "invoked" one is told by the request that resumes it.

    text: whole characters that nothing will take back, and which may lag behind `tokens`' own.
    completion: given with the last one.
    """

    tokens: tuple[int, ...]
    text: str
    completion: Completion | None = None


Listener = Callable[[Delta], None]
"""Told of an answer's growth while the engine steps. It may submit and cancel; what it raises ends its own request, and
what is no Exception (an interrupt, for instance) is raised again when the step is over."""
