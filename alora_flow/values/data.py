"""The built-in values of a run. Records, enums and plain data are pydantic models and Python values (`models`)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, cast

from pydantic import BaseModel, ConfigDict
from pydantic_core import core_schema

from alora_flow.frozen import dataclass
from alora_flow.language.meaning.program import Role
from alora_flow.prompts.contents import Generated, KnownText, Passages, RequestedCall, Thread, Turn
from alora_flow.values.history import ChatCall, ChatTurn
from alora_flow.values.text import UnicodeText


class Document(BaseModel):
    """A `document`: what a retriever finds and a model reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    text: UnicodeText
    title: UnicodeText = ""


@dataclass(frozen=True)
class OwnCall:
    """A call that the model made itself while it wrote. Of its caller's reply `at` letters and `at_token` tokens stand
    before it; depth 1: of the generation itself. `distribution`: the probability of each text that it could have
    answered, where these are few. `spent`: tokens computed and written for it. `action`: keep, drop or stop."""

    name: str
    value: Any
    at: int
    at_token: int
    depth: int
    distribution: dict[str, float]
    spent: int
    action: str


@dataclass(frozen=True)
class Reply:
    """What the base model wrote. `text` and `invocations` are None in a plan: it knows the shape of `thread` only."""

    text: str | None
    thread: Thread
    invocations: list[OwnCall] | None = None


@dataclass(frozen=True)
class Distribution:
    """A `prob[T]`: outcomes with their probabilities, which sum to one."""

    outcomes: tuple[Any, ...]
    probabilities: tuple[float, ...]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Only a distribution is one; as JSON it is a list of outcomes, each with its probability."""
        shown = core_schema.plain_serializer_function_ser_schema(cls._shown)
        return core_schema.is_instance_schema(cls, serialization=shown)

    def _shown(self) -> list[dict[str, Any]]:
        return [{"outcome": value, "p": p} for value, p in zip(self.outcomes, self.probabilities, strict=True)]

    def p(self, outcome: Any) -> float:
        """The probability of one outcome; 0 for one that can't occur."""
        return sum(p for value, p in zip(self.outcomes, self.probabilities, strict=True) if value == outcome)

    @property
    def top(self) -> Any:
        """The likeliest outcome, the first of them on a tie."""
        return max(zip(self.probabilities, self.outcomes, strict=True), key=lambda pair: pair[0])[1]

    @property
    def expected(self) -> float:
        """p(true) of a bool, the mean of numbers, the mean place (from 0) of an enum's members."""
        return self.mean([_place(outcome) for outcome in self.outcomes])

    def mean(self, amounts: Sequence[float]) -> float:
        """The mean of one amount an outcome."""
        return sum(amount * p for amount, p in zip(amounts, self.probabilities, strict=True))


@dataclass(frozen=True)
class Numbered:
    """An element of `enumerate(xs)`."""

    index: int
    value: Any


@dataclass(frozen=True)
class Pair:
    """An element of `zip(xs, ys)`."""

    first: Any
    second: Any


def _place(outcome: Any) -> float:
    return float(list(type(outcome)).index(outcome)) if isinstance(outcome, Enum) else float(outcome)


def passages(documents: Sequence[Document]) -> Passages:
    """The content of a documents turn."""
    return Passages(tuple((document.title, document.text) for document in documents))


def thread_of_chat(chat: Sequence[ChatTurn]) -> Thread:
    """Turns of data as turns of a thread: their text can make no control token."""
    return Thread.of(
        Turn(
            turn.role,
            (KnownText(turn.content),) if turn.content or not turn.tool_calls else (),
            tuple(RequestedCall(call.name, call.arguments, call.id) for call in turn.tool_calls),
            turn.tool_call_id,
            turn.name if turn.role == "tool_result" else "",
            turn.reasoning_content,
        )
        for turn in chat
    )


def chat_of_thread(thread: Thread) -> list[ChatTurn]:
    """A thread read back as data. Its contents must be known."""
    return [
        ChatTurn(
            role=cast(Role, turn.role),
            content="".join(_text(content) for content in turn.content),
            tool_calls=tuple(ChatCall(name=call.name, arguments=call.arguments, id=call.id) for call in turn.calls),
            tool_call_id=turn.call_id,
            name=turn.name,
            reasoning_content=turn.thoughts,
        )
        for turn in thread
    ]


def _text(content: object) -> str:
    assert isinstance(content, (KnownText, Generated, Passages)), "a hole has no text"
    return content.text
