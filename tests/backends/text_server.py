"""A backend in one file: a server that takes chat messages as text, gives no probabilities, and counts as it likes."""

from __future__ import annotations

from collections import deque

from alora_flow.backends.base import Abilities, ModelCall
from alora_flow.planning.setup import Setup
from alora_flow.prompts.tokens import Tokenizer
from alora_runtime.answer.constraints import Constraint
from alora_runtime.requests import Completion


class TextServer:
    """Says what it was asked, in capitals; under a grammar, the last thing that the grammar names."""

    abilities = Abilities(exact_accounting=False, adapters=False, choices=False, prompts="text")
    cache_tokens = 10**9

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._waiting: deque[tuple[int, ModelCall]] = deque()
        self._tickets = 0

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    def submit(self, call: ModelCall) -> int:
        self._tickets += 1
        self._waiting.append((self._tickets, call))
        return self._tickets

    def cancel(self, ticket: int) -> None:
        self._waiting = deque(item for item in self._waiting if item[0] != ticket)

    def forget(self) -> None:
        """It keeps nothing."""

    def step(self) -> list[tuple[int, Completion]]:
        done, self._waiting = list(self._waiting), deque()
        return [(ticket, self._answer(call)) for ticket, call in done]

    def _answer(self, call: ModelCall) -> Completion:
        constraint = call.request.constraint
        if isinstance(constraint, Constraint) and constraint.kind == "lark":
            text = constraint.text.split('"')[-2]
        else:
            text = " ".join(f"{turn.role}:{turn.content}" for turn in call.messages).upper()
        tokens = self._tokenizer.encode_data(text)
        return Completion(tokens, text, "stop", reused=3, prefilled=4, generated=len(tokens))


def open_server(setup: Setup) -> TextServer:
    return TextServer(setup.prompter.tokenizer)


def open_nothing(setup: Setup) -> object:
    return "no backend"


NOT_A_FUNCTION = 3
