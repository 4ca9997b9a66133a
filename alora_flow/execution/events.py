"""What happens in a run, as it happens: the log that a trace is made of, and what progress is told.

Version 1. Every event has `at`, in seconds since the run began. In JSON an event is an object with `event`, the class's
name, and its fields; a log is one event a line, `RunStarted` first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Discriminator, Tag, TypeAdapter

from alora_flow.values.plain import plain

VERSION = 1

Status = Literal["done", "skipped", "discarded", "failed"]
"""Discarded: speculated, and then a guard did not hold."""


@dataclass(frozen=True)
class Tokens:
    """Prompt tokens of one call: found in the cache, and computed."""

    reused: int
    prefilled: int

    def __str__(self) -> str:
        return f"{self.reused} reused, {self.prefilled} prefilled"


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
    at: float
    node: str


@dataclass(frozen=True)
class CallSubmitted:
    """A model call, the `call`-th of its node from 0 on. `adapter` is None for the base model; `predicted` is None
    where the backend does not say exactly what it reuses; `seed` is None for a call that draws no numbers."""

    at: float
    node: str
    call: int
    adapter: str | None
    predicted: Tokens | None
    seed: int | None = None


@dataclass(frozen=True)
class CallCompleted:
    """`generated` tokens were chosen by the model, `forced` ones by a grammar. `actual` is None where the backend does
    not count."""

    at: float
    node: str
    call: int
    actual: Tokens | None
    generated: int
    forced: int
    finish: str


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
    """`error`: why the run has no result."""

    at: float
    error: str | None = None


Event: TypeAlias = RunStarted | NodeStarted | CallSubmitted | CallCompleted | NodeEnded | RunEnded
KINDS = (RunStarted, NodeStarted, CallSubmitted, CallCompleted, NodeEnded, RunEnded)

Listener = Callable[[Event], None]
"""Told of every event, in the thread that leads the run."""


def quiet(event: Event) -> None:
    """A listener for nobody."""


def _kind(event: Any) -> str:
    return str(event["event"]) if isinstance(event, dict) else type(event).__name__


_ADAPTER: TypeAdapter[Event] = TypeAdapter(
    Annotated[
        Annotated[RunStarted, Tag("RunStarted")]
        | Annotated[NodeStarted, Tag("NodeStarted")]
        | Annotated[CallSubmitted, Tag("CallSubmitted")]
        | Annotated[CallCompleted, Tag("CallCompleted")]
        | Annotated[NodeEnded, Tag("NodeEnded")]
        | Annotated[RunEnded, Tag("RunEnded")],
        Discriminator(_kind),
    ],
    config=ConfigDict(defer_build=True),
)


def event_json(event: Event) -> dict[str, Any]:
    """An event as JSON data."""
    if isinstance(event, NodeEnded):
        event = replace(event, value=plain(event.value))
    return {"event": type(event).__name__, **_ADAPTER.dump_python(event, mode="json")}


def event_of(data: Any) -> Event:
    """The event of JSON data. Raises ValueError (pydantic's ValidationError) for anything else."""
    return _ADAPTER.validate_python(data)
