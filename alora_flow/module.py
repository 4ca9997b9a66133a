"""A flow file as a Python object: its flows are callables, its records and enums classes.

import alora_flow

module = alora_flow.load("safety_rag.flow")
result = module.safety_rag(question="Who is the mayor of Tarnok?")
result.value, result.stats, result.trace
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from alora_flow.backends.base import Backend, OpenBackend
from alora_flow.backends.table import Opener
from alora_flow.errors import BadUsage
from alora_flow.execution.conductor import Conductor
from alora_flow.execution.events import Listener, quiet
from alora_flow.execution.runner import Result, Runner
from alora_flow.execution.tools import check_tools
from alora_flow.execution.trace import Trace
from alora_flow.flow import Flow
from alora_flow.language.meaning.program import ToolDecl
from alora_flow.language.meaning.types import Type
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.flow_file import find_flow_file
from alora_flow.planning.schedule import Schedule
from alora_flow.values.models import python_type
from alora_flow.values.names import python_names
from alora_runtime.errors import RequestError
from alora_runtime.validation import seed_of

__all__ = ["Flow", "Module", "Result", "load"]


class Module:
    """A loaded flow file. The model is loaded when a flow first runs, and kept until the module is closed or collected.

    Its flows, records, enums and named types are attributes, those of an imported file attributes of the import's name.
    What Module has itself, and Python's keywords, get an underscore: a flow `run` is `run_`. `with` and `async with`
    close it.
    """

    def __init__(
        self,
        compilation: Compilation,
        open_backend: OpenBackend | None = None,
        seed: int | None = None,
        tools: Mapping[str, Callable[..., Any]] | None = None,
        share: bool = False,
    ) -> None:
        """The arguments of `load`, whose file is read already."""
        self.compilation = compilation
        program = compilation.program
        check_tools(tools or {}, program.tools)
        self._opening = open_backend or Opener("torch"), seed, tools, share
        self.runner = Runner(compilation, *self._opening)
        self.flows: Mapping[str, Flow] = {
            flow.name: Flow(self, flow) for flow in program.flows.values() if not flow.imported
        }
        declared = (program.enums, program.records, program.aliases)
        self._types: Mapping[str, Type] = {key: each.type for group in declared for key, each in group.items()}
        self.__doc__ = program.doc or None
        own = [*self.flows, *(key for key in self._types if "." not in key), *program.imports]
        taken = {*dir(Module), *vars(self), "names"}
        self.names: Mapping[str, str] = {known: name for name, known in python_names(own, taken).items()}

    def flow(self, name: str | None) -> Flow:
        """A flow by name; without one the file's main flow. Raises BadInput with the names that there are."""
        return self.flows[self.compilation.flow(name).name]

    @property
    def conductor(self) -> Conductor:
        """What runs the flows, of all threads. Loads no model. Raises ModuleClosed."""
        return self.runner.host.conductor

    @property
    def backend(self) -> Backend:
        """What the flows run on; the model is loaded when it is first wanted. Raises ModuleClosed."""
        return self.runner.admitted().opened

    def forget(self) -> None:
        """Empty the cache, so that the next run pays for all that it reads. Waits until no flow runs on it."""
        self.runner.forget()

    def close(self) -> None:
        """Run nothing any more: whatever is called raises ModuleClosed, and runs under way go on to their end. The
        model's memory is freed when the last module that shares it is closed."""
        self.runner.close()

    def run(self, schedules: Sequence[Schedule], listener: Listener = quiet) -> list[tuple[Any, Trace]]:
        """Run schedules of the file's graphs (a flow's, or a test's), side by side.

        A run that fails is raised after all are ended.
        """
        results = [one.result for one in self.runner.perform(schedules, listener)]
        return [(result.value, result.trace) for result in results]

    def find_tool(self, tool: ToolDecl) -> Callable[..., Any]:
        """A tool's Python function: the one given to `load`, else imported. Raises BadInput where there is none."""
        return self.runner.find_tool(tool)

    def __getattr__(self, name: str) -> Any:
        flows, types = self.__dict__.get("flows", {}), self.__dict__.get("_types", {})
        name = self.__dict__.get("names", {}).get(name, name)
        if name in flows:
            return flows[name]
        if name in types:
            return python_type(types[name])
        inside = {key.removeprefix(f"{name}."): type for key, type in types.items() if key.startswith(f"{name}.")}
        if inside:
            return SimpleNamespace(**{key: python_type(type) for key, type in inside.items() if "." not in key})
        own = ", ".join(key for key in types if "." not in key)
        raise AttributeError(
            f"{self.compilation.path} has no flow '{name}'; its flows: {', '.join(flows)}; its types: {own or 'none'}"
        )

    def __enter__(self) -> Module:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> Module:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<flow file {self.compilation.path}: {', '.join(self.flows) or 'no flows'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """A module goes into another process by its file: it is read there again, and loads its model when it runs."""
        return Module, (self.compilation, *self._opening)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.names]


def load(
    path: str | Path,
    model: str | None = None,
    backend: str | OpenBackend = "torch",
    seed: int | None = None,
    cache_tokens: int | None = None,
    tools: Mapping[str, Callable[..., Any]] | None = None,
    share: bool = True,
) -> Module:
    """Read and check a flow file: a path, or the name of a bundled flow where there is no such file. `model` replaces
    the file's own. `backend`: a name of `backends.table`, a `package.module:factory`, or a function from the model's
    setup to a backend. `seed`: runs with it draw the same random numbers for the same inputs; without it each run draws
    a seed of its own, which its trace tells. `cache_tokens`: how many the cache of a backend by name holds; by default
    at most an eighth of the machine's memory. `tools`: functions, sync or async, in place of those that the file names;
    a tool of an imported file as "import.tool". `share`: with other modules on the same model files, backend and size,
    one engine and its cache; off, this module has its own.

    Raises FlowErrors with every diagnostic of a wrong file, BadInput for one that can't be read, a backend that can't
    be found or a function that does not fit its tool's declaration, BadUsage for an unknown backend, a size that it
    can't have, or a seed that is no integer of 128 bits. Loads no model yet.
    """
    if cache_tokens is not None and not isinstance(backend, str):
        raise BadUsage("a backend that is given as a function makes its own cache", "leave cache_tokens out")
    try:
        seed = None if seed is None else seed_of(seed)
    except RequestError as error:
        raise BadUsage(error.message) from None
    open_backend = Opener(backend, cache_tokens) if isinstance(backend, str) else backend
    file, _ = find_flow_file(path)
    return Module(Compilation(file, model), open_backend, seed, tools, share)
