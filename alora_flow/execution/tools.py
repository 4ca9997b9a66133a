"""Tools: Python functions that a flow calls, given by the caller, or found beside the flow file or among the installed
packages."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextvars import ContextVar, copy_context
from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from alora_flow.errors import BadInput, RunFailed, TimedOut, text_of
from alora_flow.execution.background import in_background, tool_loop
from alora_flow.language.meaning.program import ToolDecl
from alora_flow.planning.evaluate import evaluate
from alora_flow.values.models import adapter, as_declared, complaint
from alora_flow.values.names import parameter_name


def check_tools(given: Mapping[str, Callable[..., Any]], declared: Mapping[str, ToolDecl]) -> None:
    """Raises BadInput for a function that no tool is declared for, or that can't be called as its tool is declared."""
    for name, function in given.items():
        if name not in declared:
            close = get_close_matches(name, declared, n=1)
            help = f"did you mean '{close[0]}'?" if close else f"its tools: {', '.join(declared) or 'none'}"
            raise BadInput(f"the flow file declares no tool '{name}'", help)
        if not callable(function):
            raise BadInput(f"tool '{name}': {function!r} is not a function")
        check_parameters(declared[name], function)


def check_parameters(tool: ToolDecl, function: Callable[..., Any]) -> None:
    """Raises BadInput where the function can't take the declared parameters by name, or needs others."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have none: what is wrong shows when they are called
        return
    try:
        signature.bind(**{parameter_name(parameter.name): None for parameter in tool.parameters})
    except TypeError as error:
        declared = ", ".join(f"{parameter.name}: {parameter.type}" for parameter in tool.parameters)
        raise BadInput(
            f"tool '{tool.name}' is declared as ({declared}), and its Python function takes {signature}: {error}",
            "give both the same parameters; the flow passes them by name",
        ) from None


def find_tool(tool: ToolDecl, near: Path) -> Callable[..., Any]:
    """Import a tool's function. Raises BadInput when there is no such module or function."""
    module_name, _, function_name = tool.function.partition(":")
    try:
        module = _module(module_name, near)
    except ModuleNotFoundError as error:
        if error.name != module_name and not module_name.startswith(f"{error.name}."):
            raise BadInput(f"tool '{tool.name}': module '{module_name}' needs another: {error}") from error
        missing = f"tool '{tool.name}': no module '{module_name}' beside the flow file or installed"
        raise BadInput(missing, f"put {module_name}.py into {near}") from error
    except (Exception, SystemExit) as error:
        raise BadInput(f"tool '{tool.name}': module '{module_name}' cannot be imported: {said(error)}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise BadInput(f"tool '{tool.name}': module '{module_name}' has no function '{function_name}'")
    check_parameters(tool, function)
    return function  # type: ignore[no-any-return]


def _module(name: str, near: Path) -> ModuleType:
    """A file beside the flow wins over an installed package, and two flows' files of one name stay apart."""
    path = near / Path(*name.split(".")).with_suffix(".py")
    if not path.is_file():
        return importlib.import_module(name)
    private = f"alora_flow_tools.{path}"
    with _IMPORTING.setdefault(private, threading.RLock()):  # nobody sees half a module
        return _imported(private, path)


_IMPORTING: dict[str, threading.RLock] = {}


def _imported(private: str, path: Path) -> ModuleType:
    if private not in sys.modules:
        spec = importlib.util.spec_from_file_location(private, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[private] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[private]
            raise
    return sys.modules[private]


_IN_A_TOOL: ContextVar[bool] = ContextVar("_IN_A_TOOL", default=False)


def in_a_tool() -> bool:
    """Is this a tool's call, or what one began?"""
    return _IN_A_TOOL.get()


class ToolCaller:
    """How one run calls its tools: each with a copy of the `context` variables of whoever wanted the run, async ones in
    his event `loop`, or in the one that all tools share."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._context = copy_context()
        self._context.run(_IN_A_TOOL.set, True)
        self._loop = loop
        self._awaited: set[Future[Any]] = set()
        self._stopped = False

    def call(self, function: Callable[..., Any], arguments: Mapping[str, Any], timeout: float | None) -> Any:
        """The function's result. It has its own copies of its arguments. What takes longer than its time-out is left
        behind where it is a thread, which Python can't stop, and cancelled where it is a coroutine."""
        if self._stopped:
            raise RunFailed("the run has ended")
        coroutines: list[Future[Any]] = []

        def work() -> Any:
            context = self._context.copy()
            result = context.run(function, **deepcopy(dict(arguments)))
            if not inspect.isawaitable(result):
                return result
            coroutines.append(
                context.run(asyncio.run_coroutine_threadsafe, _awaited(result), self._loop or tool_loop())
            )
            self._awaited.update(coroutines)
            return coroutines[0].result()

        answer = in_background(work)
        wait([answer], timeout)
        self._awaited.difference_update(coroutines)
        if not answer.done():
            for coroutine in coroutines:
                coroutine.cancel()
            raise _Late(f"took longer than its timeout of {timeout:g} s")
        error = answer.exception()
        if error is not None:
            failed = _Failed(f"raised {said(error)}")
            failed.traceback = _own_frames(error)
            raise failed from error
        return answer.result()

    def stop(self) -> None:
        """The run has ended: nobody waits for what async tools are still at, and nothing is tried again."""
        self._stopped = True
        for coroutine in list(self._awaited):
            coroutine.cancel()


class Bound:
    """A tool's function, and how a run calls it."""

    def __init__(self, function: Callable[..., Any], caller: ToolCaller) -> None:
        self.function, self.caller = function, caller

    def __call__(self, **arguments: Any) -> Any:
        return self.caller.call(self.function, arguments, None)


async def _awaited(result: Any) -> Any:
    return await result


def call_tool(tool: ToolDecl, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call a tool with its timeout and retries, and check its result against the declared type.

    Where every try fails its `fallback` is the result; without one, raises RunFailed with the last try's own error.
    Waits `backoff` seconds before the second try, and twice as long before each further one.
    """
    types = {parameter.name: parameter.type for parameter in tool.parameters}
    arguments = {parameter_name(name): as_declared(value, types[name]) for name, value in arguments.items()}
    bound = function if isinstance(function, Bound) else Bound(function, ToolCaller())
    for attempt in range(tool.retry + 1):
        try:
            return _checked(tool, bound.caller.call(bound.function, arguments, tool.timeout))
        except _Failed as failed:
            last = failed
        if attempt < tool.retry:
            time.sleep(tool.backoff * 2**attempt)
    if tool.fallback is not None:
        return evaluate(tool.fallback, {})
    kind = TimedOut if isinstance(last, _Late) else RunFailed
    error = kind(f"tool '{tool.name}' {last}")
    error.traceback = last.traceback
    raise error from last.__cause__


class _Failed(Exception):
    """One try of a tool did not work; the text completes "tool 'x' …"."""

    traceback: str | None = None


class _Late(_Failed):
    """It took too long."""


def _own_frames(error: BaseException) -> str:
    """The traceback of what a tool raised, from its own code on."""
    report = traceback.TracebackException.from_exception(error)
    ours = max((at for at, frame in enumerate(report.stack) if frame.filename == __file__), default=-1)
    report.stack = traceback.StackSummary.from_list(report.stack[ours + 1 :])
    return "".join(report.format()).rstrip()


def said(error: BaseException) -> str:
    """An error's kind and text."""
    kind, text = type(error).__name__, text_of(error)
    return text if text.startswith(kind) else f"{kind}: {text}"


def _checked(tool: ToolDecl, result: Any) -> Any:
    try:
        return adapter(tool.result).validate_python(result)
    except ValidationError as error:
        raise _Failed(f"gave no {tool.result}: {complaint(error)}") from error
