"""What happens in a run, as it happens: the log that a trace is made of, and what progress is told.

Version 1. Every event has `at`, in seconds since the run began. In JSON an event is an object with `event`, the class's
name, and its fields; a log is one event a line, `RunStarted` first. What is written token by token is told live and is
in no log: a log stays as small as its values, and those of old versions stay readable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import ConfigDict, Discriminator, Tag, TypeAdapter

from alora_flow.frozen import dataclass
from alora_flow.values.plain import plain

VERSION = 1

Status = Literal["done", "skipped", "discarded", "failed"]
"""Discarded: begun, and then a guard did not hold, or an attempt had failed that it belongs to."""


INCOMPLETE = ("cancelled", "timeout", "error")
"""Calls that ended so have left in the cache what no ledger knows."""


@dataclass(frozen=True)
class Tokens:
    """Prompt tokens of one call: found in the cache, and computed. `at_most`: as a prediction, where the cache is too
    full to know more than that no more are computed."""

    reused: int
    prefilled: int
    at_most: bool = False

    def kept(self, actual: Tokens | None) -> bool:
        """Was this prediction right?"""
        if actual is None:
            return False
        return actual.prefilled <= self.prefilled if self.at_most else actual == self

    def __str__(self) -> str:
        said = f"{self.reused} reused, {self.prefilled} prefilled"
        return f"at least {self.reused} reused, at most {self.prefilled} prefilled" if self.at_most else said


@dataclass(frozen=True)
class RunStarted:
    """`nodes`: (id, kind) of every node, in the order of the graph. `seed`: what the calls' seeds come from."""

    at: float
    flow: str
    nodes: tuple[tuple[str, str], ...]
    seed: int = 0
    version: int = VERSION


@dataclass(frozen=True)
class NodeStarted:
    """A node began: it may now call a model or a tool."""

    at: float
    node: str


@dataclass(frozen=True)
class MockAnswered:
    """In a test: the `mock`-th mock of the test, from 0 on, says what the node gives, or that it fails."""

    at: float
    node: str
    mock: int


@dataclass(frozen=True)
class CallSubmitted:
    """A model call, the `call`-th of its node from 0 on. `adapter` is None for the base model; `predicted` is None
    where the backend does not say exactly what it reuses; `seed` is None for a call that draws no numbers.
    `callee`: the intrinsic that the model itself calls here, in the middle of its node's answer, `depth` calls deep."""

    at: float
    node: str
    call: int
    adapter: str | None
    predicted: Tokens | None
    seed: int | None = None
    callee: str | None = None
    depth: int = 0


@dataclass(frozen=True)
class CallCompleted:
    """`generated` tokens were chosen by the model, `forced` ones by a grammar. `actual` is None where the backend does
    not count. `predicted`: takes the place of what was said when the call began, where another run was broken off
    meanwhile, and with it what this call would have shared."""

    at: float
    node: str
    call: int
    actual: Tokens | None
    generated: int
    forced: int
    finish: str
    predicted: Tokens | None = None


@dataclass(frozen=True)
class ModelCalled:
    """The model calls an intrinsic or a tool by itself, in the middle of an answer of which `text` stands before it.
    depth: 1 for one that the node's own answer calls, more for one that a callee does."""

    at: float
    node: str
    callee: str
    depth: int
    text: str


@dataclass(frozen=True)
class ModelAnswered:
    """The intrinsic has answered `text`, which means `value`; in JSON as plain data. Of a tool, `text` is what comes
    back to the model, and `arguments` what it wrote for that."""

    at: float
    node: str
    callee: str
    depth: int
    text: str
    value: Any = field(default=None, compare=False)
    arguments: str = ""


@dataclass(frozen=True)
class ModelReturned:
    """The model goes on: `action` is keep, drop or stop."""

    at: float
    node: str
    callee: str
    depth: int
    action: str


@dataclass(frozen=True)
class NodeEnded:
    """`value` of a node that is done or discarded; in JSON as plain data. `error`: why it failed."""

    at: float
    node: str
    status: Status
    value: Any = field(default=None, compare=False)
    error: str | None = None


@dataclass(frozen=True)
class RunEnded:
    """`error`: why the run has no result; `places`: where it failed, and the calls of flows that led there, innermost
    first, as `file:line:column`; `traceback`: of a tool that raised."""

    at: float
    error: str | None = None
    places: tuple[str, ...] = ()
    traceback: str | None = None


@dataclass(frozen=True)
class TextWritten:
    """The answer of a model call has grown by `text`: whole characters, of a typed answer as the model writes it.

    Told while it happens to whoever asks, and in no log: `NodeEnded` has the value.
    """

    at: float
    node: str
    call: int
    text: str


Event: TypeAlias = (
    RunStarted
    | NodeStarted
    | MockAnswered
    | CallSubmitted
    | CallCompleted
    | ModelCalled
    | ModelAnswered
    | ModelReturned
    | NodeEnded
    | RunEnded
)
KINDS = get_args(Event)

Listener = Callable[[Event], None]
"""Told of every event, in the thread that leads the run."""

TextListener = Callable[[TextWritten], None]
"""Likewise of text."""


def quiet(event: Event) -> None:
    """A listener for nobody."""


def _kind(event: Any) -> str:
    return str(event["event"]) if isinstance(event, dict) else type(event).__name__


_ADAPTER: TypeAdapter[Event] = TypeAdapter(
    Annotated[
        Annotated[RunStarted, Tag("RunStarted")]
        | Annotated[NodeStarted, Tag("NodeStarted")]
        | Annotated[MockAnswered, Tag("MockAnswered")]
        | Annotated[CallSubmitted, Tag("CallSubmitted")]
        | Annotated[CallCompleted, Tag("CallCompleted")]
        | Annotated[ModelCalled, Tag("ModelCalled")]
        | Annotated[ModelAnswered, Tag("ModelAnswered")]
        | Annotated[ModelReturned, Tag("ModelReturned")]
        | Annotated[NodeEnded, Tag("NodeEnded")]
        | Annotated[RunEnded, Tag("RunEnded")],
        Discriminator(_kind),
    ],
    config=ConfigDict(defer_build=True),
)


def event_json(event: Event) -> dict[str, Any]:
    """An event as JSON data."""
    if isinstance(event, NodeEnded | ModelAnswered):
        event = replace(event, value=plain(event.value))
    return {"event": type(event).__name__, **_ADAPTER.dump_python(event, mode="json")}


def event_of(data: Any) -> Event:
    """The event of JSON data. Raises ValueError (pydantic's ValidationError) for anything else."""
    return _ADAPTER.validate_python(data)
