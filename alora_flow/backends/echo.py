"""A backend without a model: it echoes, takes the first choice, and accounts for every token as the engine would.

For tests of flows and for plans with filled holes. Its cache follows the planner's ledger, so a plan against it is kept
by construction; only the real engine can break one.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Mapping
from math import log
from typing import Any

from alora_flow.backends.base import Abilities, ModelCall
from alora_flow.planning.prefix.ledger import Key, Ledger
from alora_flow.planning.prompts import Setup
from alora_flow.prompts.contents import KnownText, Turn
from alora_flow.prompts.tokens import Tokenizer
from alora_runtime.answer.constraints import Constraint
from alora_runtime.requests import Completion, Finish, Request


class Echo:
    """Answers with the text of the prompt's last turn; with the first choice; with the smallest JSON of a schema."""

    abilities = Abilities()

    def __init__(self, tokenizer: Tokenizer, stop: int) -> None:
        self._tokenizer, self._stop = tokenizer, stop
        self._ledger = Ledger()
        self._waiting: deque[tuple[int, Request, list[Key], int]] = deque()
        self._tickets = 0

    @property
    def cache_tokens(self) -> int:
        return sys.maxsize

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    def submit(self, call: ModelCall) -> int:
        request = call.request
        self._tickets += 1
        keys: list[Key] = [(token, run.adapter) for run in request.runs for token in run.tokens]
        self._waiting.append((self._tickets, request, keys, self._ledger.prompt(keys)))
        return self._tickets

    def cancel(self, ticket: int) -> None:
        self._waiting = deque(item for item in self._waiting if item[0] != ticket)

    def forget(self) -> None:
        self._ledger = Ledger()

    def step(self) -> list[tuple[int, Completion]]:
        """All that is waiting, in order."""
        waiting, self._waiting = self._waiting, deque()
        return [(ticket, self._answer(request, keys, found)) for ticket, request, keys, found in waiting]

    def _answer(self, request: Request, keys: list[Key], found: int) -> Completion:
        tokens, text, finish = self._written(request)
        self._ledger.add([*keys, *((token, keys[-1][1]) for token in tokens[:-1])])
        count = len(request.choices or ())
        return Completion(
            tokens,
            text,
            finish,
            choice=0 if count else None,
            choice_logprobs=(-log(count),) * count if count else (),
            reused=found,
            prefilled=len(keys) - found,
            generated=len(tokens),
        )

    def _written(self, request: Request) -> tuple[tuple[int, ...], str, Finish]:
        """Tokens (with the stop token where they end by it), text, and why they end."""
        if request.choices:
            first = tuple(request.choices[0])
            return first, self._tokenizer.decode(first), "choice"
        if isinstance(request.constraint, Constraint):
            text = json.dumps(smallest(json.loads(request.constraint.text)))
        else:
            text = self._last_turn(request)
        tokens = (*self._tokenizer.encode_data(text), self._stop)
        cut = tokens[: request.max_tokens]
        return cut, self._tokenizer.decode(cut), "stop" if cut == tokens else "length"

    def _last_turn(self, request: Request) -> str:
        """The text between the last control tokens of the prompt that have any between them."""
        tokens = [token for run in request.runs for token in run.tokens]
        while tokens and self._tokenizer.is_control(tokens[-1]):
            tokens.pop()
        starts = [place + 1 for place, token in enumerate(tokens) if self._tokenizer.is_control(token)]
        return self._tokenizer.decode(tuple(tokens[starts[-1] if starts else 0 :])) or "echo"


def smallest(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> Any:
    """The smallest value that a JSON schema of pydantic's allows: required fields only, first of several types."""
    definitions = schema.get("$defs", {}) if definitions is None else definitions
    if "$ref" in schema:
        return smallest(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return smallest(schema[key][0], definitions)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        return {name: smallest(fields[name], definitions) for name in schema.get("required", ())}
    if schema.get("type") in ("integer", "number"):
        return max(schema.get("minimum", 0), min(0, schema.get("maximum", 0)))
    return {"string": "", "array": [], "boolean": False, "null": None}[schema["type"]]


def open_echo(setup: Setup) -> Echo:
    """An echo with the setup's tokenizer, which stops as the chat template closes a turn; loads no weights."""
    turn = Turn("assistant", (KnownText("echo"),))
    closing = setup.prompter.thread_symbols((Turn("user", (KnownText("?"),)), turn))[-1]
    assert isinstance(closing, int)
    return Echo(setup.prompter.tokenizer, closing)
