"""One flow of a loaded file as a Python callable."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Never, Protocol, TypeVar, overload

from alora_flow.errors import BadUsage, BadValue
from alora_flow.execution.events import Listener, TextListener, quiet
from alora_flow.execution.inputs import check_inputs
from alora_flow.execution.runner import Result, Runner, Running
from alora_flow.execution.stream import Stream, begun, finished
from alora_flow.language.meaning.program import FlowDecl
from alora_flow.planning.budget import within_budgets
from alora_flow.planning.evaluate import evaluate
from alora_flow.planning.graph.nodes import FlowGraph, tools_of
from alora_flow.planning.schedule import Schedule
from alora_flow.values.models import python_type
from alora_flow.values.names import parameter_name

T = TypeVar("T")


class Home(Protocol):
    """The module of a flow."""

    @property
    def runner(self) -> Runner: ...
    @property
    def flows(self) -> Mapping[str, Flow]: ...


class Flow:
    """One flow, called with its parameters by name. Raises BadValue for wrong inputs and RunFailed for a failed run."""

    def __init__(self, module: Home, declaration: FlowDecl) -> None:
        self.module = module
        self.declaration = declaration
        self.__name__ = declaration.name
        self.__doc__ = module.runner.compilation.doc(declaration) or None
        self.__signature__ = _signature(declaration)
        self._names = {parameter_name(parameter.name): parameter.name for parameter in declaration.parameters}

    def __call__(self, /, *by_place: Never, **inputs: Any) -> Result[Any]:
        return self.run(self._named(by_place, inputs))

    async def arun(self, /, *by_place: Never, **inputs: Any) -> Result[Any]:
        """As a call, for asyncio: runs of all tasks, loops and threads share batches and cache. A task that is
        cancelled cancels its run. Async tools run in the task's event loop."""
        loop = asyncio.get_running_loop()
        named = self._named(by_place, inputs)
        return await finished(await begun(lambda: self._begin(named, loop=loop)))

    def stream(self, /, *by_place: Never, **inputs: Any) -> Stream[Any]:
        """The run's events as they happen, the text of its answers as it grows, and its Result last."""
        return Stream(partial(self._begin, self._named(by_place, inputs)))

    def run(
        self, inputs: Mapping[str, Any], listener: Listener = quiet, text_listener: TextListener | None = None
    ) -> Result[Any]:
        """As a call, with the inputs as a mapping; `listener` is told of every event, `text_listener` of text."""
        return self.perform([self.prepare(inputs)], listener, text_listener)[0]

    @overload
    def map(
        self,
        inputs: Iterable[Mapping[str, Any]],
        listener: Listener = quiet,
        *,
        return_exceptions: Literal[False] = False,
    ) -> list[Result[Any]]: ...
    @overload
    def map(
        self, inputs: Iterable[Mapping[str, Any]], listener: Listener = quiet, *, return_exceptions: bool
    ) -> list[Result[Any] | Exception]: ...
    def map(
        self, inputs: Iterable[Mapping[str, Any]], listener: Listener = quiet, *, return_exceptions: bool = False
    ) -> Sequence[Result[Any] | Exception]:
        """Run it for each of many inputs, in step: their model calls share batches and cache. Results are in order.

        A wrong input is raised before anything runs; a run that fails, after all are ended. With `return_exceptions`
        both stand in the list instead, and the others' results beside them.
        """
        if not return_exceptions:
            return self.perform([self.prepare(one) for one in inputs], listener)
        prepared = [_or_error(partial(self.prepare, one)) for one in inputs]
        schedules = [one for one in prepared if isinstance(one, Schedule)]
        done = iter(self.module.runner.perform(schedules, listener))
        return [_or_error(lambda: next(done).result) if isinstance(one, Schedule) else one for one in prepared]

    def perform(
        self, schedules: Sequence[Schedule], listener: Listener = quiet, text_listener: TextListener | None = None
    ) -> list[Result[Any]]:
        """Run what `prepare` gave, side by side."""
        return [one.result for one in self.module.runner.perform(schedules, listener, text_listener)]

    def prepare(self, inputs: Mapping[str, Any]) -> Schedule:
        """All that can be wrong before anything is computed: inputs, tools that are missing, budgets too small."""
        if not isinstance(inputs, Mapping):
            raise BadValue(f"flow '{self.__name__}' takes a mapping of inputs by name, got {inputs!r}")
        checked = check_inputs(self.declaration, inputs)
        for node in self.graph.nodes.values():
            for tool in tools_of(node.operation):
                self.module.runner.find_tool(tool)
        schedule = self.module.runner.compilation.schedule(self.declaration, checked)
        if self.graph.budgets:
            within_budgets(schedule)
        return schedule

    @property
    def graph(self) -> FlowGraph:
        """What runs."""
        return self.module.runner.compilation.graph(self.declaration)

    def _named(self, by_place: tuple[Any, ...], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Under the names that the file gives them. Raises BadUsage for one without a name."""
        if by_place:
            given = ", ".join(f"{name}=…" for name in self._names)
            raise BadUsage(f"flow '{self.__name__}' takes its inputs by name", f"call it as {self.__name__}({given})")
        return {self._names.get(name, name): value for name, value in inputs.items()}

    def _begin(
        self,
        inputs: Mapping[str, Any],
        listener: Listener = quiet,
        text_listener: TextListener | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Running:
        return self.module.runner.begin([self.prepare(inputs)], listener, text_listener, loop)[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return _flow_of, (self.module, self.__name__)

    def __repr__(self) -> str:
        parameters = ", ".join(f"{parameter.name}: {parameter.type}" for parameter in self.declaration.parameters)
        return f"<flow {self.__name__}({parameters}) -> {self.declaration.result}>"


def _or_error(get: Callable[[], T]) -> T | Exception:
    try:
        return get()
    except Exception as error:
        return error


def _flow_of(module: Home, name: str) -> Flow:
    return module.flows[name]


def _signature(flow: FlowDecl) -> inspect.Signature:
    """The flow's parameters as keyword-only Python parameters."""
    parameters = [
        inspect.Parameter(
            parameter_name(parameter.name),
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if parameter.default is None else evaluate(parameter.default, {}),
            annotation=python_type(parameter.type),
        )
        for parameter in flow.parameters
    ]
    return inspect.Signature(parameters, return_annotation=python_type(flow.result))
