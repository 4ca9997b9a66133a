"""A flow file as a Python object: its flows are callables.

import alora_flow

module = alora_flow.load("safety_rag.flow")
result = module.safety_rag(question="Who is the mayor of Tarnok?")
result.value, result.stats, result.trace
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import randbits
from typing import Any

from alora_flow.backends.base import Backend, OpenBackend
from alora_flow.backends.deferred import Deferred
from alora_flow.backends.table import Opener
from alora_flow.errors import BadUsage
from alora_flow.execution.conductor import Conductor
from alora_flow.execution.events import Listener, quiet
from alora_flow.execution.inputs import check_inputs
from alora_flow.execution.requests import check_abilities
from alora_flow.execution.run import FlowRun
from alora_flow.execution.tools import find_tool
from alora_flow.execution.trace import Stats, Trace
from alora_flow.language.meaning.program import FlowDecl, ToolDecl
from alora_flow.planning.budget import within_budgets
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.evaluate import evaluate
from alora_flow.planning.graph.nodes import FlowGraph, Generate, Invoke, Tool
from alora_flow.planning.schedule import Schedule
from alora_flow.values.models import python_type


@dataclass(frozen=True)
class Result:
    """What a flow gave: `value` is a pydantic model (or plain data) of the flow's result type."""

    value: Any
    trace: Trace

    @property
    def stats(self) -> Stats:
        return self.trace.stats


class Flow:
    """One flow, called with its parameters by name. Raises BadValue for wrong inputs and RunFailed for a failed run."""

    def __init__(self, module: Module, declaration: FlowDecl) -> None:
        self.module = module
        self.declaration = declaration
        self.__name__ = declaration.name
        self.__doc__ = module.compilation.doc(declaration) or None
        self.__signature__ = _signature(declaration)

    def __call__(self, /, **inputs: Any) -> Result:
        return self.run(inputs)

    def run(self, inputs: Mapping[str, Any], listener: Listener = quiet) -> Result:
        """As a call, with the inputs as a mapping; `listener` is told of every event."""
        return self.perform([self.prepare(inputs)], listener)[0]

    def map(self, inputs: Iterable[Mapping[str, Any]], listener: Listener = quiet) -> list[Result]:
        """Run it for each of many inputs, in step: their model calls share batches and cache. Results are in order.

        A wrong input is raised before anything runs; a run that fails, after all are ended.
        """
        return self.perform([self.prepare(one) for one in inputs], listener)

    def perform(self, schedules: Sequence[Schedule], listener: Listener = quiet) -> list[Result]:
        """Run what `prepare` gave, side by side."""
        return [Result(*done) for done in self.module.run(schedules, listener)]

    def prepare(self, inputs: Mapping[str, Any]) -> Schedule:
        """All that can be wrong before anything is computed: inputs, tools that are missing, budgets too small."""
        checked = check_inputs(self.declaration, inputs)
        for node in self.graph.nodes.values():
            if isinstance(node.operation, Tool):
                self.module.find_tool(node.operation.tool)
        schedule = self.module.compilation.schedule(self.declaration, checked)
        if self.graph.budgets:
            within_budgets(schedule)
        return schedule

    @property
    def graph(self) -> FlowGraph:
        """What runs."""
        return self.module.compilation.graph(self.declaration)

    def __reduce__(self) -> tuple[Any, ...]:
        return _flow_of, (self.module, self.__name__)

    def __repr__(self) -> str:
        return f"<flow {self.__name__}{self.__signature__}>"


class Module:
    """A loaded flow file. The model is loaded when a flow first runs, and kept."""

    def __init__(
        self, compilation: Compilation, open_backend: OpenBackend | None = None, seed: int | None = None
    ) -> None:
        """`seed`: what every run's random numbers come from; None: each run draws one of its own."""
        self.seed = seed
        self.compilation = compilation
        self._open_backend = open_backend or Opener("torch")
        self._opening = threading.Lock()
        self._conductor: Conductor | None = None
        self.flows: Mapping[str, Flow] = {
            flow.name: Flow(self, flow) for flow in compilation.program.flows.values() if not flow.imported
        }
        self.__doc__ = compilation.program.doc or None

    def flow(self, name: str | None) -> Flow:
        """A flow by name; without one the file's main flow. Raises BadInput with the names that there are."""
        return self.flows[self.compilation.flow(name).name]

    @property
    def conductor(self) -> Conductor:
        """What runs the flows, of all threads. Loads no model."""
        with self._opening:
            self._conductor = self._conductor or self._open()
        return self._conductor

    def _open(self) -> Conductor:
        setup = self.compilation.setup
        return Conductor(Deferred(partial(self._open_backend, setup)), setup)

    @property
    def backend(self) -> Backend:
        """What the flows run on; the model is loaded when it is first wanted."""
        deferred = self.conductor.backend
        assert isinstance(deferred, Deferred)
        return deferred.opened

    def forget(self) -> None:
        """Empty the cache, so that the next run pays for all that it reads. Only while no flow runs."""
        self.conductor.forget()

    def run(self, schedules: Sequence[Schedule], listener: Listener = quiet) -> list[tuple[Any, Trace]]:
        """Run schedules of the file's graphs (a flow's, or a test's), side by side.

        A run that fails is raised after all are ended.
        """
        conductor = self.conductor
        for schedule in filter(_calls_model, schedules):
            check_abilities(schedule, self.backend.abilities)  # opens it, before anything runs
        runs = [FlowRun(one, conductor.shared, self.find_tool, listener, self._run_seed()) for one in schedules]
        conductor.perform(runs)
        for run in runs:
            if run.error:
                raise run.error
        return [run.result for run in runs if run.result]

    def _run_seed(self) -> int:
        return randbits(32) if self.seed is None else self.seed

    def find_tool(self, tool: ToolDecl) -> Callable[..., Any]:
        """A tool's Python function, imported when first wanted. Raises BadInput where there is none."""
        return find_tool(tool, self.compilation.folder)

    def __getattr__(self, name: str) -> Flow:
        flows = self.__dict__.get("flows", {})
        if name not in flows and hasattr(type(self), name.removesuffix("_")):
            name = name.removesuffix("_")
        if name not in flows:
            raise AttributeError(f"{self.compilation.path} has no flow '{name}'; its flows: {', '.join(flows)}")
        flow: Flow = flows[name]
        return flow

    def __reduce__(self) -> tuple[Any, ...]:
        """A module goes into another process by its file: it is read there again, and loads its model when it runs."""
        return Module, (self.compilation, self._open_backend, self.seed)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.flows]


def load(
    path: str | Path,
    model: str | None = None,
    backend: str | OpenBackend = "torch",
    seed: int | None = None,
    cache_tokens: int | None = None,
) -> Module:
    """Read and check a flow file. `model` replaces the file's own. `backend`: a name of `backends.table`, a
    `package.module:factory`, or a function from the model's setup to a backend. `seed`: runs with it draw the same
    random numbers for the same inputs; without it each run draws a seed of its own, which its trace tells.
    `cache_tokens`: how many the cache of a backend by name holds; by default at most an eighth of the machine's memory.

    Raises FlowErrors with every diagnostic of a wrong file, BadInput for one that can't be read or a backend that can't
    be found, BadUsage for an unknown backend or a size that it can't have. Loads no model yet.
    """
    if cache_tokens is not None and not isinstance(backend, str):
        raise BadUsage("a backend that is given as a function makes its own cache", "leave cache_tokens out")
    open_backend = Opener(backend, cache_tokens) if isinstance(backend, str) else backend
    return Module(Compilation(Path(path), model), open_backend, seed)


def _calls_model(made: Schedule) -> bool:
    return any(isinstance(node.operation, Generate | Invoke) for node in made.graph.nodes.values())


def _flow_of(module: Module, name: str) -> Flow:
    return module.flows[name]


def _signature(flow: FlowDecl) -> inspect.Signature:
    """The flow's parameters as keyword-only Python parameters."""
    parameters = [
        inspect.Parameter(
            parameter.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if parameter.default is None else evaluate(parameter.default, {}),
            annotation=python_type(parameter.type),
        )
        for parameter in flow.parameters
    ]
    return inspect.Signature(parameters, return_annotation=python_type(flow.result))
