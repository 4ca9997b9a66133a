"""A backend without a model: it echoes, takes the first choice, and accounts for every token as the engine would.

For tests of flows and for plans with filled holes. Its cache follows the planner's ledger, so a plan against it is kept
by construction; only the real engine can break one.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from itertools import dropwhile, takewhile
from math import log
from typing import Any

from alora_flow.backends.base import Abilities, ModelCall
from alora_flow.backends.scripted import called, ended
from alora_flow.planning.prefix.ledger import Entered, Ledger
from alora_flow.planning.prefix.ledger import written as own_tokens
from alora_flow.planning.setup import Setup
from alora_flow.prompts.contents import KnownText, Turn
from alora_flow.prompts.tokens import Tokenizer
from alora_runtime.answer.constraints import Constraint
from alora_runtime.answer.interruptible import Interruptible
from alora_runtime.requests import Completion, Finish, Request


class Echo:
    """Answers with the text of the prompt's last turn; with the first choice; with the smallest JSON of a schema."""

    abilities = Abilities(calls=True)

    def __init__(self, tokenizer: Tokenizer, stop: int) -> None:
        self._tokenizer, self._stop = tokenizer, stop
        self._control = tokenizer.is_control
        self._ledger = Ledger()
        self._waiting: deque[tuple[int, ModelCall, Entered]] = deque()
        self._tickets = 0

    @property
    def cache_tokens(self) -> int:
        return sys.maxsize

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    def submit(self, call: ModelCall) -> int:
        self._tickets += 1
        self._waiting.append((self._tickets, call, self._ledger.enter(call.prompt)))
        return self._tickets

    def cancel(self, ticket: int) -> None:
        self._waiting = deque(item for item in self._waiting if item[0] != ticket)

    def forget(self) -> None:
        self._ledger = Ledger()

    def step(self) -> list[tuple[int, Completion]]:
        """All that is waiting, in order."""
        waiting, self._waiting = self._waiting, deque()
        return [(ticket, self._answer(call, entered)) for ticket, call, entered in waiting]

    def _answer(self, call: ModelCall, entered: Entered) -> Completion:
        request, prompt = call.request, call.prompt
        written = self._completion(request)
        if call.write is not None and request.resumes is None:
            call.write(written.text)
        self._ledger.answer(entered.end, written, request.resumes, prompt.adapter_at(len(prompt)))
        generated = len(own_tokens(written, request.resumes))
        return replace(written, reused=entered.found, prefilled=len(prompt) - entered.found, generated=generated)

    def _completion(self, request: Request) -> Completion:
        """A generation that may call does so once, by the first invocation that it may write, behind its text."""
        if request.resumes is not None:
            return ended(request.resumes, self._tokenizer, self._stop)
        tokens, text, finish = self._written(request)
        if request.triggers and request.runs[-1].adapter is None and finish == "stop":
            calling = called(request, tokens[:-1], self._tokenizer, request.triggers[0])
            if calling.suspended is not None and len(calling.suspended.written) <= request.max_tokens:
                return calling
        count = len(request.choices or ())
        logprobs = (-log(count),) * count if count else ()
        return Completion(tokens, text, finish, choice=0 if count else None, choice_logprobs=logprobs)

    def _written(self, request: Request) -> tuple[tuple[int, ...], str, Finish]:
        """Tokens (with the stop token where they end by it), text, and why they end."""
        if request.choices:
            first = tuple(request.choices[0])
            return first, self._tokenizer.decode(first), "choice"
        constraint = request.constraint
        if isinstance(constraint, Interruptible):
            constraint = constraint.inner
        if isinstance(constraint, Constraint) and constraint.kind == "lark":  # of choices: the first of them
            text = str(json.JSONDecoder().raw_decode(constraint.text, len("start: "))[0])
        elif isinstance(constraint, Constraint):
            text = json.dumps(smallest(json.loads(constraint.text)))
        else:
            text = self._last_turn(request)
        tokens = (*self._tokenizer.encode_data(text), self._stop)
        cut = tokens[: request.max_tokens]
        return cut, self._tokenizer.decode(cut), "stop" if cut == tokens else "length"

    def _last_turn(self, request: Request) -> str:
        """The text between the last control tokens of the prompt that have any between them."""
        backwards = (token for run in reversed(request.runs) for token in reversed(run.tokens))
        said = takewhile(lambda token: not self._control(token), dropwhile(self._control, backwards))
        return self._tokenizer.decode(tuple(said)[::-1]) or "echo"


def smallest(schema: Any, root: Mapping[str, Any] | None = None) -> Any:
    """A small value that a JSON schema allows: required fields only, first of several types; of a schema that says
    nothing, null."""
    if not isinstance(schema, Mapping):
        return None
    root = schema if root is None else root
    if "$ref" in schema:
        return smallest(_found(root, schema["$ref"]), root)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return smallest(schema[key][0], root)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    kind = schema.get("type", "object" if "properties" in schema else None)
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            fields = schema.get("properties", {})
            return {name: smallest(fields.get(name), root) for name in schema.get("required", ())}
        case "array":
            return [smallest(schema.get("items"), root)] * schema.get("minItems", 0)
        case "integer" | "number":
            return max(schema.get("minimum", 0), min(0, schema.get("maximum", 0)))
        case "string":
            return "x" * schema.get("minLength", 0)
    return False if kind == "boolean" else None


def _found(root: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        root = root.get(step) if isinstance(root, Mapping) else None
    return root


def open_echo(setup: Setup) -> Echo:
    """An echo with the setup's tokenizer, which stops as the chat template closes a turn; loads no weights."""
    turn = Turn("assistant", (KnownText("echo"),))
    closing = setup.prompter.thread_symbols((Turn("user", (KnownText("?"),)), turn))[-1]
    assert isinstance(closing, int)
    return Echo(setup.prompter.tokenizer, closing)
