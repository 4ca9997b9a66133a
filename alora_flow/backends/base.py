"""What a flow runs on: anything that takes model calls and hands back completions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Literal, Protocol

from alora_flow.frozen import dataclass
from alora_flow.planning.prompts import Prompt
from alora_flow.planning.setup import Setup
from alora_flow.prompts.contents import Thread
from alora_flow.values.data import chat_of_thread
from alora_flow.values.history import ChatTurn
from alora_runtime.requests import Completion, Request


@dataclass(frozen=True)
class Abilities:
    """What a backend can do.

    exact_accounting: what it reuses follows the planner's ledger to the token; where not, no call is called "kept".
    adapters: it runs intrinsics. choices: it gives the log-probability of every choice; where not, a choice is written
    under a grammar, and what needs the probabilities is refused. prompts: it takes token ids, or text. positions: the
    most tokens that a prompt and its answer may have, None where that is not known. calls: it ends an answer where the
    model calls, and resumes it (`triggers`, `resumes` and `masked_tokens` of a Request). retains: it evicts what calls
    left that are done after everything else, until it is told to `let_go`. unhurried: it
    is told by `leave_alone` whether anybody waits for its steps to end; long prompts need not be cut where nobody does.
    """

    exact_accounting: bool = True
    adapters: bool = True
    choices: bool = True
    prompts: Literal["tokens", "text"] = "tokens"
    positions: int | None = None
    calls: bool = False
    retains: bool = False
    unhurried: bool = False


@dataclass(frozen=True)
class ModelCall:
    """One call of a node: its prompt as runs of tokens in `request`, the thread that these say, for a backend that
    takes text, and the `prompt` as it was planned.

    `write` is told of the answer's text as it grows, in whole characters, where somebody wants to see it. A backend
    that has an answer only as a whole need not call it.
    """

    node: str
    request: Request
    thread: Thread
    prompt: Prompt
    write: Callable[[str], None] | None = field(default=None, compare=False)

    @property
    def messages(self) -> list[ChatTurn]:
        """The thread as chat turns; the answer is the assistant's next one."""
        return chat_of_thread(self.thread)


class Backend(Protocol):
    """The seam between a flow and what computes."""

    @property
    def abilities(self) -> Abilities: ...

    @property
    def cache_tokens(self) -> int:
        """How many tokens the cache holds."""
        ...

    def submit(self, call: ModelCall) -> int:
        """Take a call and give a ticket for it. Raises alora_runtime.errors.EngineError on a bad one."""
        ...

    def step(self) -> list[tuple[int, Completion]]:
        """Work for a moment; the calls that were finished by it."""
        ...

    @property
    def busy(self) -> bool:
        """Is there a call that is not finished?"""
        ...

    def cancel(self, ticket: int) -> None:
        """Drop a call; a ticket that is finished is left."""
        ...

    def forget(self) -> None:
        """Empty the prefix cache; only while nothing is under way."""
        ...


OpenBackend = Callable[[Setup], Backend]
"""Makes a backend for a model and its intrinsics. Raises BadModel, BadAdapter."""

MEMBERS = ("abilities", "cache_tokens", "submit", "step", "busy", "cancel", "forget")
"""What a backend must have."""
