"""What runs the schedules of one flow file: with its tools and its seed, on a host that other files may share."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from secrets import randbits
from typing import Any, Generic, TypeVar

from alora_flow.backends.base import OpenBackend
from alora_flow.errors import BadInput, BadUsage, ModuleClosed
from alora_flow.execution.background import in_tool_loop
from alora_flow.execution.events import Listener, TextListener, quiet
from alora_flow.execution.requests import check_abilities
from alora_flow.execution.run import FlowRun
from alora_flow.execution.sharing import Host, find_host, shares
from alora_flow.execution.tools import Bound, ToolCaller, find_tool
from alora_flow.execution.trace import Stats, Trace
from alora_flow.frozen import dataclass
from alora_flow.language.meaning.program import ToolDecl
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.graph.nodes import MODEL_CALLS
from alora_flow.planning.schedule import Schedule
from alora_flow.values.models import forget_adapters

T = TypeVar("T")


@dataclass(frozen=True)
class Result(Generic[T]):
    """What a flow gave: `value` is a pydantic model (or plain data) of the flow's result type."""

    value: T
    trace: Trace

    @property
    def stats(self) -> Stats:
        return self.trace.stats


@dataclass(frozen=True)
class Running:
    """A run, and the host that performs it."""

    run: FlowRun
    host: Host

    def post(self) -> None:
        """Let it run beside those of all threads, and return at once; `run.over` tells of its end."""
        self.host.attendant.post([self.run])

    def cancel(self) -> None:
        """End it before the next step; its calls leave the engine, and other runs go on. One that has ended is left."""
        if not self.run.ended:
            self.host.conductor.cancel(self.run)

    @property
    def result(self) -> Result[Any]:
        """Of a run that has ended. Raises its error."""
        if self.run.error is not None:
            raise self.run.error
        assert self.run.result is not None
        return Result(*self.run.result)


class Runner:
    """Takes its host when it first runs anything, and gives it back when it is closed or nobody has it any more."""

    def __init__(
        self,
        compilation: Compilation,
        open_backend: OpenBackend,
        seed: int | None = None,
        tools: Mapping[str, Callable[..., Any]] | None = None,
        shared: bool = False,
    ) -> None:
        """`tools`: functions by the keys of the tools that they stand in for. `shared`: may others use the backend?"""
        self.compilation, self.seed, self.tools = compilation, seed, dict(tools or {})
        self._opening = open_backend, shared
        self._lock = threading.Lock()
        self._host: Host | None = None
        self._leaving = [self._finally(forget_adapters)]
        self._admitted = False
        self.closed = False

    @property
    def host(self) -> Host:
        """Where it runs. Loads no model. Raises ModuleClosed."""
        with self._lock:
            if self.closed:
                raise self._gone()
            if self._host is None:
                self._host = self._found(*self._opening)
            return self._host

    @cached_property
    def _alone(self) -> Host:
        """Where runs are performed that call no model, and for which none is looked for."""
        if self.closed:
            raise self._gone()
        return self._found(self._opening[0], shared=False)

    def _found(self, open_backend: OpenBackend, shared: bool) -> Host:
        host, leave = find_host(self.compilation.setup, open_backend, shared)
        self._leaving.append(self._finally(leave))
        return host

    def _finally(self, leave: Callable[[], None]) -> Callable[[], object]:
        """To be done once: when it is closed, or when nobody has it any more."""
        finalizer = weakref.finalize(self, leave)
        finalizer.atexit = False
        return finalizer

    def _gone(self) -> ModuleClosed:
        return ModuleClosed(f"{self.compilation.path} is closed and runs nothing any more", "load it again")

    def admitted(self) -> Host:
        """Its host, opened, with all adapters of the file."""
        host = self.host
        if not self._admitted:
            host.admit(self.compilation.setup)
            self._admitted = True
        return host

    def forget(self) -> None:
        """Empty the cache of its host, if the file has a model that one can be found for."""
        with suppress(BadInput):  # which a run that needs the model raises
            self.host.conductor.forget()

    def close(self) -> None:
        """Run nothing any more. What is under way goes on to its end."""
        with self._lock:
            self.closed, self._host = True, None
            self.__dict__.pop("_alone", None)
            while self._leaving:
                self._leaving.pop()()

    def begin(
        self,
        schedules: Sequence[Schedule],
        listener: Listener = quiet,
        text_listener: TextListener | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> list[Running]:
        """Runs that nobody performs yet. Async tools run in `loop`, or in the one that all tools share."""
        if loop is None and in_tool_loop():
            raise BadUsage("an async tool that waits for a flow keeps all async tools waiting", "await flow.arun(…)")
        modelled = any(map(_calls_model, schedules)) or not shares(*self._opening)
        host = self.host if modelled else self._alone
        for schedule in filter(_calls_model, schedules):
            check_abilities(schedule, self.admitted().opened.abilities)  # opens it, before anything runs
        return [Running(self._run(one, host, listener, text_listener, loop), host) for one in schedules]

    def perform(
        self, schedules: Sequence[Schedule], listener: Listener = quiet, text_listener: TextListener | None = None
    ) -> list[Running]:
        """Run them side by side, in this thread or one that leads already; all have ended when it returns."""
        begun = self.begin(schedules, listener, text_listener)
        if begun:
            begun[0].host.conductor.perform([one.run for one in begun])
        return begun

    def find_tool(self, tool: ToolDecl) -> Callable[..., Any]:
        """A tool's Python function: the one that was given, else imported when first wanted. Raises BadInput."""
        return self.tools[tool.key] if tool.key in self.tools else find_tool(tool, self.compilation.folder)

    def _run(
        self,
        schedule: Schedule,
        host: Host,
        listener: Listener,
        text_listener: TextListener | None,
        loop: asyncio.AbstractEventLoop | None,
    ) -> FlowRun:
        caller = ToolCaller(loop)

        def bound(tool: ToolDecl) -> Callable[..., Any]:
            return Bound(self.find_tool(tool), caller)

        seed = randbits(32) if self.seed is None else self.seed
        run = FlowRun(schedule, host.conductor.shared, bound, listener, seed, text_listener)
        run.over.add_done_callback(lambda _: caller.stop())
        return run


def _calls_model(made: Schedule) -> bool:
    return any(isinstance(node.operation, MODEL_CALLS) for node in made.graph.nodes.values())
